import { describe, expect, test } from "vitest";
import { colourWanted, createStyle, movementWanted } from "./style.ts";

const tty = { isTTY: true, columns: 120 };
const pipe = {};

describe("colourWanted()", () => {
  test.each([
    ["a terminal", {}, tty, true],
    ["a pipe", {}, pipe, false],
    ["NO_COLOR", { NO_COLOR: "1" }, tty, false],
    ["an empty NO_COLOR does not count", { NO_COLOR: "" }, tty, true],
    ["TERM=dumb", { TERM: "dumb" }, tty, false],
    ["FORCE_COLOR in a pipe", { FORCE_COLOR: "1" }, pipe, true],
    ["FORCE_COLOR wins over NO_COLOR", { FORCE_COLOR: "1", NO_COLOR: "1" }, pipe, true],
    ["FORCE_COLOR=0", { FORCE_COLOR: "0" }, tty, false],
  ])("%s", (_, env, stream, wanted) => {
    expect(colourWanted(env, stream)).toBe(wanted);
  });
});

describe("movementWanted()", () => {
  test.each([
    ["a terminal", {}, tty, true],
    ["a pipe", {}, pipe, false],
    ["CI", { CI: "true" }, tty, false],
    ["CI=false", { CI: "false" }, tty, true],
    ["TERM=dumb", { TERM: "dumb" }, tty, false],
    ["FORCE_COLOR gives colour, not movement", { FORCE_COLOR: "1" }, pipe, false],
  ])("%s", (_, env, stream, wanted) => {
    expect(movementWanted(env, stream)).toBe(wanted);
  });
});

describe("createStyle()", () => {
  test("writes no escape codes into a pipe", () => {
    const style = createStyle({}, pipe);
    expect([style.ok("a"), style.bad("b"), style.dim("c"), style.strong("d")]).toEqual(["a", "b", "c", "d"]);
    expect(style.width).toBeUndefined();
  });

  test("paints on a terminal and resets behind the text", () => {
    expect(createStyle({}, tty).ok("a")).toBe("\u001b[32ma\u001b[39m");
  });

  test("takes the width from COLUMNS before the terminal's", () => {
    expect(createStyle({ COLUMNS: "60" }, tty).width).toBe(60);
    expect(createStyle({ COLUMNS: "wide" }, tty).width).toBe(120);
    expect(createStyle({}, { isTTY: true }).width).toBe(80);
  });
});
