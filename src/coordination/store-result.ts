/** What commands of the store result in, and the bytes of it: sessions keep results until their client has them. */
import { unreachable } from "../base/assert.ts";
import { BytesError } from "../base/bytes.ts";
import { field, message, nested, repeatedNested } from "../base/protobuf.ts";
import type { Codec } from "../group/state-machine.ts";
import { type EtcdErrorCode, isEtcdErrorCode } from "./etcd-error.ts";
import { AlarmMember, KeyValue, TxnResponse } from "./messages.ts";

/** `revision` is the store's main revision after the command. */
export type StoreResult =
  | { readonly type: "put"; readonly revision: number; readonly prevKv: KeyValue | undefined }
  | {
      readonly type: "delete-range";
      readonly revision: number;
      readonly deleted: number;
      readonly prevKvs: readonly KeyValue[];
    }
  | { readonly type: "txn"; readonly revision: number; readonly response: TxnResponse }
  | { readonly type: "compact"; readonly revision: number }
  | { readonly type: "lease-grant"; readonly revision: number; readonly id: bigint; readonly ttl: number }
  | { readonly type: "lease-revoke"; readonly revision: number }
  | { readonly type: "lease-checkpoint"; readonly revision: number }
  | { readonly type: "alarm"; readonly revision: number; readonly alarms: readonly AlarmMember[] }
  | { readonly type: "member-id"; readonly id: number }
  | { readonly type: "error"; readonly error: EtcdErrorCode };

const Put = message({ revision: field(1, "int53"), prevKv: nested(2, KeyValue) });
const DeleteRange = message({
  revision: field(1, "int53"),
  deleted: field(2, "int53"),
  prevKvs: repeatedNested(3, KeyValue),
});
const Txn = message({ revision: field(1, "int53"), response: nested(2, TxnResponse) });
const LeaseGrant = message({ revision: field(1, "int53"), id: field(2, "int64"), ttl: field(3, "int53") });
const Plain = message({ revision: field(1, "int53") });
const Alarm = message({ revision: field(1, "int53"), alarms: repeatedNested(2, AlarmMember) });
const Failure = message({ error: field(1, "string") });

function tagged(tag: number, bytes: Uint8Array): Uint8Array {
  bytes[0] = tag;
  return bytes;
}

export const storeResultCodec: Codec<StoreResult> = {
  encode(result) {
    switch (result.type) {
      case "put":
        return tagged(1, Put.encode(result, 1));
      case "delete-range":
        return tagged(2, DeleteRange.encode(result, 1));
      case "txn":
        return tagged(3, Txn.encode(result, 1));
      case "compact":
        return tagged(4, Plain.encode(result, 1));
      case "lease-grant":
        return tagged(5, LeaseGrant.encode(result, 1));
      case "lease-revoke":
        return tagged(6, Plain.encode(result, 1));
      case "lease-checkpoint":
        return tagged(7, Plain.encode(result, 1));
      case "alarm":
        return tagged(8, Alarm.encode(result, 1));
      case "member-id":
        return tagged(9, Plain.encode({ revision: result.id }, 1));
      case "error":
        return tagged(10, Failure.encode(result, 1));
      default:
        return unreachable(result);
    }
  },
  decode(bytes) {
    const body = bytes.subarray(1);
    switch (bytes[0]) {
      case 1:
        return { type: "put", ...Put.decode(body) };
      case 2:
        return { type: "delete-range", ...DeleteRange.decode(body) };
      case 3: {
        const { revision, response } = Txn.decode(body);
        if (response === undefined) throw new BytesError("a transaction's result without response");
        return { type: "txn", revision, response };
      }
      case 4:
        return { type: "compact", ...Plain.decode(body) };
      case 5:
        return { type: "lease-grant", ...LeaseGrant.decode(body) };
      case 6:
        return { type: "lease-revoke", ...Plain.decode(body) };
      case 7:
        return { type: "lease-checkpoint", ...Plain.decode(body) };
      case 8:
        return { type: "alarm", ...Alarm.decode(body) };
      case 9:
        return { type: "member-id", id: Plain.decode(body).revision };
      case 10: {
        const { error } = Failure.decode(body);
        if (!isEtcdErrorCode(error)) throw new BytesError(`unknown error ${error}`);
        return { type: "error", error };
      }
      default:
        throw new BytesError(`unknown result ${bytes[0]}`);
    }
  },
};
