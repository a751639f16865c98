/** Links of the Markdown files: a relative one leads to a file or folder, and its `#anchor` to a heading there. */
import { posix } from "node:path";
import type { Problems, Tree } from "./tree.ts";

/** Links that lead nowhere. `exists` answers for files that are not in the tree, such as images. */
export function brokenLinks(tree: Tree, exists: (path: string) => boolean): Problems {
  const problems: string[] = [];
  for (const [path, text] of tree) {
    if (!path.endsWith(".md")) continue;
    for (const target of linksOf(text)) {
      if (/^[a-z][a-z0-9+.-]*:/i.test(target)) continue; // another site
      const [file = "", anchor] = target.split("#", 2);
      const resolved = file === "" ? path : posix.normalize(posix.join(posix.dirname(path), decodeURIComponent(file)));
      if (resolved.startsWith("..")) problems.push(`${path}: link ${target} leaves the repository`);
      else if (!tree.has(resolved) && !exists(resolved)) problems.push(`${path}: link ${target} leads nowhere`);
      else if (anchor !== undefined && resolved.endsWith(".md") && !anchorsOf(tree.get(resolved) ?? "").has(anchor)) {
        problems.push(`${path}: link ${target} has no such heading`);
      }
    }
  }
  return problems;
}

const withoutCode = (text: string): string => text.replace(/^(```|~~~)[\s\S]*?^\1/gm, "").replace(/`[^`\n]*`/g, "``");

function linksOf(text: string): readonly string[] {
  const plain = withoutCode(text);
  const inline = [...plain.matchAll(/\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)];
  const defined = [...plain.matchAll(/^\[[^\]]+\]:\s*(\S+)/gm)];
  const html = [...plain.matchAll(/\b(?:href|src)="([^"]+)"/g)];
  return [...inline, ...defined, ...html].map((match) => match[1] ?? "");
}

/** The anchors that a forge makes from headings: lower case, punctuation dropped, spaces to hyphens. */
function anchorsOf(text: string): ReadonlySet<string> {
  const headings = [...text.replace(/^(```|~~~)[\s\S]*?^\1/gm, "").matchAll(/^#{1,6}\s+(.*)$/gm)].map(
    (match) => match[1] ?? "",
  );
  const anchors = new Set<string>();
  for (const heading of headings) {
    const base = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replace(/\s/g, "-");
    let anchor = base;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${base}-${n}`;
    anchors.add(anchor);
  }
  return anchors;
}
