/** The Watch RPC: one bidirectional stream, whose pace is the caller's. */
import { WatchRequest, WatchResponse } from "../../coordination/messages.ts";
import { FRAME_HEADROOM, type Method } from "../grpc/method.ts";
import { statusOf } from "./etcd-status.ts";
import { decode, onStream } from "./rpc.ts";
import type { EtcdService, WatchStream } from "./service.ts";

export function watchMethod(service: Pick<EtcdService, "watch">): Method {
  return {
    type: "bidi",
    open: (call) => {
      const stream: WatchStream = service.watch({
        onResponse: (response) => {
          if (call.sendFramed(WatchResponse.encode(response, FRAME_HEADROOM))) return;
          // The caller's window and our buffer are full: until `drain`, events wait in the store, and further requests,
          // whose answers would not wait, in the caller.
          stream.pause();
          call.pause();
        },
        onFailure: (error) => {
          call.end(statusOf(error));
          stream.close();
        },
      });
      return {
        message: (bytes) => {
          const decoded = decode(WatchRequest, bytes);
          if (decoded.type === "value") stream.request(decoded.value);
          else {
            call.end(onStream(decoded.status));
            stream.close();
          }
        },
        halfClose: () => undefined, // as in etcd: a caller that asks for no more still watches
        drain: () => {
          stream.resume();
          call.resume();
        },
        cancel: () => stream.close(),
      };
    },
  };
}
