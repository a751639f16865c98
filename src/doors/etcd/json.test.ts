/** The gateway's notation: JSON text in pieces, and messages to JSON and back. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BytesError } from "../../base/bytes.ts";
import * as m from "../../coordination/messages.ts";
import type { FieldInfo } from "../../base/protobuf.ts";
import { JsonNumber, JsonSplitter, parseJson } from "./json-text.ts";
import { jsonSyntaxError } from "./json-text-error.ts";
import { enumTypeOf, fromJson, toJson } from "./proto-json.ts";

const decodeJson = (message: Parameters<typeof fromJson>[0], text: string): unknown =>
  fromJson(message, parseJson(text));

describe("JsonSplitter", () => {
  const split = (text: string, size: number, limit = 1_000): string[] => {
    const bytes = Buffer.from(text);
    const splitter = new JsonSplitter(limit);
    const values: string[] = [];
    for (let at = 0; at < bytes.length; at += size) values.push(...splitter.push(bytes.subarray(at, at + size)));
    const last = splitter.finish();
    return last === undefined ? values : [...values, last];
  };

  it("cuts the same values however the bytes are cut", () => {
    const value = fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer(), fc.constant([{}, "}"])));
    fc.assert(
      fc.property(fc.array(value, { maxLength: 5 }), fc.integer({ min: 1, max: 50 }), (values, size) => {
        const text = values.map((one) => JSON.stringify(one)).join(size % 2 === 0 ? "" : "\n ");
        expect(split(text, size, 100_000).map((one) => JSON.parse(one) as unknown)).toEqual(values);
      }),
    );
  });

  it("keeps brackets and quotes inside strings", () => {
    expect(split('{"a":"}{\\"]["}{"b":[1,{"c":2}]}', 3)).toEqual(['{"a":"}{\\"]["}', '{"b":[1,{"c":2}]}']);
  });

  it("gives scalars, and a value that is cut short for the parser to refuse", () => {
    expect(split(' null "x" 5', 2)).toEqual(["null", '"x"', "5"]);
    expect(split('{"a":1}{"b', 2)).toEqual(['{"a":1}', '{"b']);
    for (const text of ['{"a":', '"x', "[", "{"])
      expect(() => parseJson(split(text, 2)[0] ?? "")).toThrow("unexpected EOF");
    expect(split(" \n ", 1)).toEqual([]);
  });

  it("refuses a value over its limit, before the end of it is there", () => {
    expect(() => split(`{"a":"${"x".repeat(2_000)}`, 100)).toThrow(BytesError);
  });
});

describe("parseJson()", () => {
  it("keeps numbers that are no safe integers as they stand", () => {
    expect(parseJson('{"a":9223372036854775807,"b":[1e3,-5],"c":1.5}')).toEqual({
      a: new JsonNumber("9223372036854775807"),
      b: [new JsonNumber("1e3"), -5],
      c: new JsonNumber("1.5"),
    });
  });

  it("refuses what is no JSON, nesting without end included", () => {
    for (const text of ["{", "", "{'a':1}", "[".repeat(100_000), "[".repeat(50_000) + "]".repeat(50_000) + "x"]) {
      expect(() => parseJson(text)).toThrow(BytesError);
    }
  });
});

describe("jsonSyntaxError()", () => {
  it.each([
    ["hello", "invalid character 'h' looking for beginning of value"],
    ["tru", "unexpected EOF"],
    ["trux", "invalid character 'x' in literal true (expecting 'e')"],
    ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
    ["{a:1}", "invalid character 'a' looking for beginning of object key string"],
    ["{'a':1}", "invalid character '\\'' looking for beginning of object key string"],
    ['{"a" "b"}', "invalid character '\"' after object key"],
    ['{"a":1 "b":2}', "invalid character '\"' after object key:value pair"],
    ['{"a":01}', "invalid character '1' after object key:value pair"],
    ["[1 2]", "invalid character '2' after array element"],
    ["[1,]", "invalid character ']' looking for beginning of value"],
    ['{"a":[}', "invalid character '}' looking for beginning of value"],
    ['{"a":-}', "invalid character '}' in numeric literal"],
    ['{"a":1.}', "invalid character '}' after decimal point in numeric literal"],
    ['{"a":1e}', "invalid character '}' in exponent of numeric literal"],
    ['{"a":"\u0001"}', "invalid character '\\x01' in string literal"],
    ['{"a":"\t"}', "invalid character '\\t' in string literal"],
    ['{"a":"\\x"}', "invalid character 'x' in string escape code"],
    ['{"a":"\\u12g4"}', "invalid character 'g' in \\u hexadecimal character escape"],
    ["\ufeff{}", "invalid character 'ï' looking for beginning of value"],
    ["{", "unexpected EOF"],
    ['{"a":{"b":[1,2', "unexpected EOF"],
    ["", "unexpected EOF"],
  ])("%j: %s", (text, why) => {
    expect(() => parseJson(text)).toThrow(expect.objectContaining({ message: why }));
  });

  it("finds a reason exactly where JSON.parse refuses a text", () => {
    const piece = fc.constantFrom(
      '{"a":',
      '"x"',
      "[1,2]",
      "}",
      "]",
      ",",
      ":",
      "tru",
      "true",
      "-1.5e3",
      "0",
      "1",
      "\\",
      '"',
      " ",
      ".",
      "e",
      "-",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const text = pieces.join("");
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        expect(jsonSyntaxError(text, "whole") === undefined, text).toBe(isJson);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("toJson()", () => {
  it("prints as etcd's gateway does: .proto names, strings for 64 bits, no defaults", () => {
    const response = m.RangeResponse.make({
      header: { clusterId: 18_446_744_073_709_551_615n, memberId: 0n, revision: 14, raftTerm: 2 },
      kvs: [m.KeyValue.make({ key: Buffer.from("gw"), createRevision: 11, modRevision: 14, version: 4, lease: -1n })],
      count: 1,
    });
    expect(toJson(m.RangeResponse, response)).toEqual({
      header: { cluster_id: "18446744073709551615", revision: "14", raft_term: "2" },
      kvs: [{ key: "Z3c=", create_revision: "11", mod_revision: "14", version: "4", lease: "-1" }],
      count: "1",
    });
  });

  it("prints enums by name, unknown ones by number, members of a oneof even when empty", () => {
    const event = m.Event.make({ type: 1, kv: m.KeyValue.make({}) });
    expect(toJson(m.Event, event)).toEqual({ type: "DELETE", kv: {} });
    expect(toJson(m.Event, m.Event.make({ type: 7 }))).toEqual({ type: 7 });
    const op: m.ResponseOp = { response: { type: "responsePut", value: m.PutResponse.make() } };
    expect(toJson(m.ResponseOp, op)).toEqual({ response_put: {} });
    expect(
      toJson(
        m.MemberListResponse,
        m.MemberListResponse.make({ members: [m.Member.make({ id: 5n, peerUrls: ["u"] })] }),
      ),
    ).toEqual({
      members: [{ ID: "5", peerURLs: ["u"] }],
    });
  });
});

describe("fromJson()", () => {
  it("reads both spellings, both notations of integers, and ignores what it does not know", () => {
    const text = '{"key":"YQ==","range_end":"Yg==","minModRevision":"5","limit":7,"sort_order":"DESCEND","nope":{}}';
    expect(decodeJson(m.RangeRequest, text)).toEqual({
      key: Buffer.from("a"),
      rangeEnd: Buffer.from("b"),
      minModRevision: 5,
      limit: 7,
      sortOrder: 2,
    });
    expect(decodeJson(m.LeaseGrantRequest, '{"TTL":100,"ID":7587869134232183309}')).toEqual({
      ttl: 100,
      id: 7_587_869_134_232_183_309n,
    });
  });

  it("reads a transaction with its oneofs", () => {
    const text =
      '{"compare":[{"key":"YQ==","target":"VALUE","value":"dg=="}],"success":[{"requestPut":{"key":"YQ=="}}]}';
    const request = m.TxnRequest.decode(m.TxnRequest.encode(decodeJson(m.TxnRequest, text) as m.TxnRequestInput));
    expect(request.compare[0]).toMatchObject({ target: 3, targetUnion: { type: "value" } });
    expect(request.success[0]?.request).toMatchObject({ type: "requestPut" });
  });

  it("takes null for absence, and an empty body for an empty message", () => {
    expect(decodeJson(m.RangeRequest, '{"key":null,"limit":null}')).toEqual({});
    expect(decodeJson(m.RangeRequest, "null")).toEqual({});
  });

  it("is the inverse of toJson()", () => {
    const bytes = fc.uint8Array({ maxLength: 20 }).map((one) => Buffer.from(one));
    const kv = fc.record({
      key: bytes,
      value: bytes,
      createRevision: fc.maxSafeNat(),
      modRevision: fc.maxSafeNat(),
      version: fc.maxSafeNat(),
      lease: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    });
    fc.assert(
      fc.property(fc.array(kv), fc.boolean(), (kvs, more) => {
        const bytesOf = m.RangeResponse.encode({ kvs, more }).slice();
        const json = JSON.stringify(toJson(m.RangeResponse, m.RangeResponse.decode(bytesOf)));
        expect(m.RangeResponse.encode(decodeJson(m.RangeResponse, json) as object)).toEqual(bytesOf);
      }),
    );
  });

  it("refuses what does not fit, with the reason", () => {
    const cases: readonly (readonly [string, string])[] = [
      ['{"key":"!!"}', "illegal base64 data at input byte 0"],
      ['{"key":"YQ"}', "illegal base64 data at input byte 0"],
      ['{"key":5}', "json: cannot unmarshal number into Go value of type []uint8"],
      ['{"key":[256]}', "json: cannot unmarshal number 256 into Go value of type uint8"],
      ['{"key":["x"]}', "json: cannot unmarshal string into Go value of type uint8"],
      ['{"limit":"x"}', "invalid character 'x' looking for beginning of value"],
      ['{"limit":""}', "unexpected end of JSON input"],
      ['{"limit":"-"}', "invalid character ' ' in numeric literal"],
      ['{"limit":"01"}', "invalid character '1' after top-level value"],
      ['{"limit":"five"}', "invalid character 'i' in literal false (expecting 'a')"],
      ['{"limit":"true"}', "json: cannot unmarshal bool into Go value of type int64"],
      ['{"limit":1.5}', "json: cannot unmarshal number 1.5 into Go value of type int64"],
      ['{"limit":1e3}', "json: cannot unmarshal number 1e3 into Go value of type int64"],
      [
        '{"limit":9223372036854775808}',
        "json: cannot unmarshal number 9223372036854775808 into Go value of type int64",
      ],
      ['{"limit":true}', "json: cannot unmarshal bool into Go value of type int64"],
      ['{"serializable":"true"}', "json: cannot unmarshal string into Go value of type bool"],
      ['{"sort_order":"UP"}', 'unknown value "UP" for enum etcdserverpb.RangeRequest_SortOrder'],
      ['{"sort_order":"toString"}', 'unknown value "toString" for enum etcdserverpb.RangeRequest_SortOrder'],
      ['{"sort_order":"a\\"b"}', 'unknown value "a\\\\\\"b" for enum etcdserverpb.RangeRequest_SortOrder'],
      ['{"sort_order":true}', "json: cannot unmarshal bool into Go value of type etcdserverpb.RangeRequest_SortOrder"],
      [
        '{"sort_order":99999999999}',
        "json: cannot unmarshal number 99999999999 into Go value of type etcdserverpb.RangeRequest_SortOrder",
      ],
      ["[]", "json: cannot unmarshal array into Go value of type map[string]json.RawMessage"],
      ['"x"', "json: cannot unmarshal string into Go value of type map[string]json.RawMessage"],
      ["1e99", "json: cannot unmarshal number into Go value of type map[string]json.RawMessage"],
    ];
    for (const [text, why] of cases) {
      expect(() => decodeJson(m.RangeRequest, text), text).toThrow(expect.objectContaining({ message: why }));
    }
    expect(() => decodeJson(m.TxnRequest, '{"compare":{}}')).toThrow(
      "json: cannot unmarshal object into Go value of type []json.RawMessage",
    );
    const filters = (value: string): unknown => decodeJson(m.WatchCreateRequest, `{"filters":${value}}`);
    expect(() => filters('"NOPUT"')).toThrow(
      'invalid target "slice" for enum etcdserverpb.WatchCreateRequest_FilterType',
    );
    expect(() => filters('"NONE"')).toThrow('unknown value "NONE" for enum etcdserverpb.WatchCreateRequest_FilterType');
  });

  it("reads what Go reads too: bytes as a list, an integer's null in quotes, the camel-case name first", () => {
    expect(decodeJson(m.RangeRequest, '{"key":[102,111],"limit":"null","revision":" 7"}')).toEqual({
      key: Uint8Array.of(102, 111),
      limit: 0,
      revision: 7,
    });
    expect(decodeJson(m.RangeRequest, '{"sort_order":"NONE","sortOrder":"ASCEND"}')).toEqual({ sortOrder: 1 });
  });

  it("names every enum of the protocol", () => {
    const seen = new Set<unknown>();
    const visit = (fields: Readonly<Record<string, FieldInfo>>): void => {
      for (const info of Object.values(fields)) {
        if (info.kind === "enum") expect(enumTypeOf(info)).toMatch(/^(etcdserverpb|mvccpb)\./);
        if (info.members !== undefined) visit(info.members);
        const nested = info.message?.();
        if (nested === undefined || seen.has(nested)) continue;
        seen.add(nested);
        visit(nested.fields);
      }
    };
    for (const value of Object.values(m)) if ("fields" in value) visit(value.fields as Record<string, FieldInfo>); // the codecs among the exports
    expect(seen.size).toBeGreaterThan(10);
  });
});
