/** Keys and values between the terminal's text and the cluster's bytes. */
import { printable } from "../text-width.ts";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text, if the bytes are valid UTF-8. */
export function asText(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** One line that a terminal can show whatever the bytes are: text with escapes, or hexadecimal when it is no text. */
export function showBytesOf(bytes: Uint8Array): string {
  const text = asText(bytes);
  return text === undefined ? `0x${Buffer.from(bytes).toString("hex")}` : printable(text);
}

/** For `--json`: `{ name: "text" }`, or `{ nameBase64: "…" }` when the bytes are no text, so that nothing is lost. */
export function jsonBytes(name: string, bytes: Uint8Array): Readonly<Record<string, string>> {
  const text = asText(bytes);
  return text === undefined ? { [`${name}Base64`]: Buffer.from(bytes).toString("base64") } : { [name]: text };
}
