// Every message against the .proto files that the npm client etcd3 ships: names, numbers, types, and bytes both ways.
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";
import { describe, expect, test } from "vitest";
import type { FieldInfo, Message } from "../base/protobuf.ts";
import * as messages from "./messages.ts";

const folder = fileURLToPath(new URL("../../node_modules/etcd3/proto/", import.meta.url));
const root = new protobuf.Root();
root.resolvePath = (_, target) => (target.startsWith("/") ? target : folder + target.split("/").at(-1));
root.loadSync([`${folder}rpc.proto`, `${folder}kv.proto`], { keepCase: true }).resolveAll();

const snake = (name: string) => name.replaceAll(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
const kinds: Record<string, string> = { int53: "int64", uint53: "uint64" };

function flat(fields: Readonly<Record<string, FieldInfo>>): [string, FieldInfo][] {
  return Object.entries(fields).flatMap(([name, info]) =>
    info.members === undefined ? [[name, info] as [string, FieldInfo]] : Object.entries(info.members),
  );
}

function isMessage(value: unknown): value is Message<unknown, never> {
  return typeof value === "object" && value !== null && "decode" in value;
}

/** From here on a field is none of etcd's: its clients pass over it. */
const OWN_FIELDS = 1_000;

const elsewhere = /^(Lock|Unlock|LeaderKey|Campaign|Proclaim|Leader|Resign)/; // v3lock and v3election are not shipped

describe("messages", () => {
  const exported: Readonly<Record<string, unknown>> = messages;
  for (const [name, message] of Object.entries(exported)) {
    if (!isMessage(message) || elsewhere.test(name)) continue;
    test(`${name} has the fields of the protocol`, () => {
      const type = root.lookupType(name);
      const ours = flat(message.fields)
        .filter(([, info]) => info.number < OWN_FIELDS)
        .map(([field, info]) => ({
          id: info.number,
          name: info.protoName ?? snake(field),
          repeated: info.repeated,
          kind: info.kind === "enum" || info.kind === "message" ? info.kind : (kinds[info.kind] ?? info.kind),
        }))
        .sort((a, b) => a.id - b.id);
      const theirs = type.fieldsArray
        .map((f) => ({
          id: f.id,
          name: f.name,
          repeated: f.repeated,
          kind:
            f.resolvedType instanceof protobuf.Enum ? "enum" : f.resolvedType === null ? f.type : ("message" as const),
        }))
        .sort((a, b) => a.id - b.id);
      expect(ours).toEqual(theirs);
    });
  }

  test("an etcd client passes over the fields of our own", () => {
    const bytes = messages.StatusResponse.encode({ version: "3.4.23", consensus: "paxos" });
    expect(root.lookupType("StatusResponse").decode(bytes).toJSON()).toEqual({ version: "3.4.23" });
    expect(messages.StatusResponse.decode(bytes).consensus).toBe("paxos");
  });

  test("a transaction travels both ways through protobufjs", () => {
    const bytes = messages.TxnRequest.encode({
      compare: [{ key: new Uint8Array([1]), target: 2, targetUnion: { type: "modRevision", value: 0 } }],
      success: [
        { request: { type: "requestPut", value: { key: new Uint8Array([2]), lease: -1n } } },
        { request: { type: "requestTxn", value: { failure: [{ request: { type: "requestRange", value: {} } }] } } },
      ],
    });
    const type = root.lookupType("TxnRequest");
    const again = type.encode(type.decode(bytes)).finish();
    expect(messages.TxnRequest.decode(again)).toEqual(messages.TxnRequest.decode(bytes));
    expect(type.toObject(type.decode(bytes), { longs: String, enums: String, bytes: Array })).toMatchObject({
      compare: [{ target: "Mod", mod_revision: "0", key: [1] }],
      success: [{ request_put: { lease: "-1" } }, { request_txn: { failure: [{ request_range: {} }] } }],
    });
  });
});
