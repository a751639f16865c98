import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Column, renderTable } from "./table.ts";
import { cutText, printable, textWidth } from "./text-width.ts";

const plain = (text: string): string => text;
const columns: readonly Column[] = [
  { title: "KEY", shrink: true },
  { title: "REV", align: "right" },
  { title: "VALUE", shrink: true },
];
const rows = [
  ["a", "1", "short"],
  ["a/very/long/key/that/goes/on", "12345", "a value that is much longer than the rest of the line"],
];

describe("renderTable()", () => {
  test("aligns columns and cuts nothing in a pipe", () => {
    expect(renderTable(columns, rows, { width: undefined, strong: plain })).toEqual([
      "KEY                             REV  VALUE",
      "a                                 1  short",
      "a/very/long/key/that/goes/on  12345  a value that is much longer than the rest of the line",
    ]);
  });

  test("shrinks the widest columns first until the lines fit", () => {
    expect(renderTable(columns, rows, { width: 40, strong: plain })).toEqual([
      "KEY                REV  VALUE",
      "a                    1  short",
      "a/very/long/ke…  12345  a value that is…",
    ]);
  });

  test("paints after cutting, so that escape codes are never cut", () => {
    const paint = (text: string): string => `<${text}>`;
    const [, line] = renderTable([{ title: "X", shrink: true }], [[{ text: "0123456789", paint }]], {
      width: 8,
      strong: plain,
    });
    expect(line).toBe("<0123456…>");
  });

  test("no line is wider than the terminal, whatever the cells are", () => {
    const cell = fc.string({ unit: "grapheme", maxLength: 40 }).map(printable);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(cell, cell, cell), { maxLength: 5 }),
        fc.integer({ min: 1, max: 100 }),
        (cells, width) => {
          for (const line of renderTable(columns, cells, { width, strong: plain }))
            expect(textWidth(line)).toBeLessThanOrEqual(width);
        },
      ),
    );
  });

  test("in a pipe every cell is there whole", () => {
    const cell = fc.string({ maxLength: 40 }).map((text) => printable(text).trim());
    fc.assert(
      fc.property(cell, cell, cell, (a, b, c) => {
        const [, line = ""] = renderTable(columns, [[a, b, c]], { width: undefined, strong: plain });
        for (const text of [a, b, c]) expect(line).toContain(text);
      }),
    );
  });
});

describe("textWidth()", () => {
  test("counts cells: wide characters two, combining marks none", () => {
    expect(textWidth("abc")).toBe(3);
    expect(textWidth("日本")).toBe(4);
    expect(textWidth("e\u0301")).toBe(1);
    expect(textWidth("🎉")).toBe(2);
  });

  test("cutText() never exceeds the width, also between wide characters", () => {
    expect(cutText("日本語", 4)).toBe("日…");
    expect(cutText("日本語", 6)).toBe("日本語");
    expect(cutText("abc", 0)).toBe("");
  });
});

describe("printable()", () => {
  test("makes what could steer a terminal visible", () => {
    expect(printable("a\u001b[2Jb\nc\u009b\u202e")).toBe("a\\x1b[2Jb\\nc\\x9b\\u202e");
  });
});
