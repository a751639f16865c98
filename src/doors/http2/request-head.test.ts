/** RFC 9113 sections 8.2, 8.3 and 8.5, rule by rule. */
import { describe, expect, it } from "vitest";
import { HeadBuilder, type HeadResult } from "./request-head.ts";

type Fields = readonly (readonly [string, string])[];
const GOOD: Fields = [
  [":method", "POST"],
  [":scheme", "http"],
  [":path", "/a/b"],
  [":authority", "host"],
];

function build(fields: Fields, bytesMax = 16_384, fieldsMax = 128): HeadBuilder {
  const builder = new HeadBuilder(bytesMax, fieldsMax);
  for (const [name, value] of fields) builder.add({ name, value });
  return builder;
}

function finish(fields: Fields, bytesMax?: number, fieldsMax?: number): HeadResult {
  return build(fields, bytesMax, fieldsMax).finish();
}

const isGood = (more: Fields): boolean => finish([...GOOD, ...more]).type === "head";

describe("§8.2.1 names and values", () => {
  it("names are lower-case tokens", () => {
    for (let code = 0; code < 256; code++) {
      const name = `x${String.fromCharCode(code)}`;
      const isToken = /^[a-z0-9!#$%&'*+.^_`|~-]$/.test(name.slice(1));
      expect(isGood([[name, "v"]]), `byte ${code} in a name`).toBe(isToken);
    }
    expect(isGood([["", "v"]])).toBe(false);
    expect(isGood([["a:b", "v"]])).toBe(false);
  });

  it("values hold no NUL, CR or LF, and no white space around them", () => {
    for (let code = 0; code < 256; code++) {
      const letter = String.fromCharCode(code);
      expect(isGood([["x", `a${letter}b`]]), `byte ${code} in a value`).toBe(!"\0\r\n".includes(letter));
      const breaks = "\0\r\n \t".includes(letter);
      expect(isGood([["x", `${letter}b`]]), `byte ${code} before a value`).toBe(!breaks);
      expect(isGood([["x", `a${letter}`]]), `byte ${code} behind a value`).toBe(!breaks);
    }
    expect(isGood([["x", ""]])).toBe(true);
    expect(finish([[":path", "/\n"], ...GOOD.filter(([name]) => name !== ":path")]).type).toBe("malformed");
  });
});

describe("§8.2.2 connection-specific fields", () => {
  it.each(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"])(
    "%s is malformed",
    (name) => {
      expect(isGood([[name, "x"]])).toBe(false);
    },
  );

  it("te says trailers or nothing", () => {
    expect(isGood([["te", "trailers"]])).toBe(true);
    expect(isGood([["te", "trailers, gzip"]])).toBe(false);
    expect(isGood([["te", ""]])).toBe(false);
  });
});

describe("§8.3.1 pseudo-header fields", () => {
  it.each([":method", ":scheme", ":path"])("%s stands there once and before all others", (name) => {
    expect(finish(GOOD.filter((one) => one[0] !== name)).type).toBe("malformed");
    const [field] = GOOD.filter((one) => one[0] === name);
    expect(finish([...GOOD, field ?? ["", ""]]).type).toBe("malformed");
    expect(finish([...GOOD.filter((one) => one[0] !== name), ["x", "1"], field ?? ["", ""]]).type).toBe("malformed");
  });

  it("no others may stand there, and a path is not empty; an authority need not be", () => {
    for (const name of [":status", ":protocol", ":", ":x"])
      expect(finish([...GOOD, [name, "x"]]).type).toBe("malformed");
    expect(finish(GOOD.map(([name, value]) => [name, name === ":path" ? "" : value])).type).toBe("malformed");
    expect(finish(GOOD.slice(0, 3)).type).toBe("head");
    expect(finish([]).type).toBe("malformed");
  });

  it("§8.5 CONNECT has an authority and neither scheme nor path", () => {
    const connect: Fields = [[":method", "CONNECT"]];
    expect(finish([...connect, [":authority", "host:80"]])).toMatchObject({ type: "head", head: { path: "" } });
    expect(finish(connect).type).toBe("malformed");
    expect(finish([...connect, [":authority", "h"], [":path", "/"]]).type).toBe("malformed");
    expect(finish([...connect, [":authority", "h"], [":scheme", "http"]]).type).toBe("malformed");
  });
});

describe("§8.1.1 content-length", () => {
  it("is one number of digits, or malformed", () => {
    const length = (value: string): HeadResult => finish([...GOOD, ["content-length", value]]);
    expect(length("0")).toMatchObject({ type: "head", head: { bodyBytes: 0 } });
    expect(length("123456789012345")).toMatchObject({ type: "head", head: { bodyBytes: 123_456_789_012_345 } });
    for (const bad of ["", "-1", "+1", "1.0", "1e3", "0x1", "1234567890123456", "5, 5"]) {
      expect(length(bad).type, bad).toBe("malformed");
    }
    expect(finish([...GOOD, ["content-length", "5"], ["content-length", "5"]]).type).toBe("malformed");
    expect(finish(GOOD)).toMatchObject({ type: "head", head: { bodyBytes: undefined } });
  });
});

describe("§5.3 of RFC 9110, §10.5.1 bounds", () => {
  it("values of one name are joined in their order", () => {
    const result = finish([...GOOD, ["x", "1"], ["y", "2"], ["x", "3"]]);
    expect(result.type === "head" && [...result.head.fields]).toEqual([
      ["x", "1, 3"],
      ["y", "2"],
    ]);
  });

  it("are counted as HPACK counts, to the byte and to the field", () => {
    const bytes = GOOD.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
    expect(finish(GOOD, bytes).type).toBe("head");
    expect(finish(GOOD, bytes - 1).type).toBe("too-large");
    expect(finish(GOOD, bytes, 4).type).toBe("head");
    expect(finish(GOOD, bytes, 3).type).toBe("too-large");
  });

  it("stop the keeping, not the counting", () => {
    const builder = build(GOOD);
    for (let i = 0; i < 100_000; i++) builder.add({ name: "x", value: "y".repeat(100) });
    expect(builder.finish()).toEqual({ type: "too-large" });
  });
});

describe("trailers", () => {
  it("hold no pseudo-header field and nothing malformed", () => {
    expect(build([["x", "1"]]).isValidTrailer).toBe(true);
    expect(build([]).isValidTrailer).toBe(true);
    expect(build([[":path", "/"]]).isValidTrailer).toBe(false);
    expect(build([["X", "1"]]).isValidTrailer).toBe(false);
  });
});
