/**
 * The standard gRPC health service, for load balancers and kubelets.
 * Source  grpc/grpc, doc/health-checking.md and grpc.health.v1.
 */
import { BytesError } from "../../base/bytes.ts";
import { enumeration, field, message } from "../../base/protobuf.ts";
import { FRAME_HEADROOM, type Service, type StreamCall } from "./method.ts";
import { grpcCode, grpcStatus } from "./status.ts";

const ServingStatus = { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } as const;
const HealthCheckRequest = message({ service: field(1, "string") });
const HealthCheckResponse = message({ status: enumeration(1, ServingStatus) });

const NOT_FOUND = grpcStatus(grpcCode.notFound, "unknown service");
const POLL_MS = 1_000;

/** `known` are the services it answers for, besides "" for the server as a whole. */
export function healthService(isServing: () => boolean, known: ReadonlySet<string>): Service {
  const statusNow = (): number => (isServing() ? ServingStatus.SERVING : ServingStatus.NOT_SERVING);
  const isKnown = (service: string): boolean => service === "" || known.has(service);
  return {
    Check: {
      type: "unary",
      handle: (bytes, call) => {
        const service = serviceName(bytes);
        if (service === undefined) call.fail(MALFORMED);
        else if (!isKnown(service)) call.fail(NOT_FOUND);
        else call.replyFramed(HealthCheckResponse.encode({ status: statusNow() }, FRAME_HEADROOM));
      },
    },
    Watch: {
      type: "server-stream",
      open: (bytes, call) => {
        const service = serviceName(bytes);
        if (service === undefined) {
          call.end(MALFORMED);
          return { drain: () => undefined, cancel: () => undefined };
        }
        return watchHealth(call, () => (isKnown(service) ? statusNow() : ServingStatus.SERVICE_UNKNOWN));
      },
    },
  };
}

const MALFORMED = grpcStatus(grpcCode.internal, "grpc: error unmarshalling request: malformed HealthCheckRequest");

function serviceName(bytes: Uint8Array): string | undefined {
  try {
    return HealthCheckRequest.decode(bytes).service;
  } catch (error) {
    if (error instanceof BytesError) return undefined;
    throw error;
  }
}

/** Sends the status now, and again whenever it is another one. */
function watchHealth(call: StreamCall, status: () => number): { drain(): void; cancel(): void } {
  let told: number | undefined;
  const tell = (): void => {
    const now = status();
    if (now === told) return;
    told = now;
    call.sendFramed(HealthCheckResponse.encode({ status: now }, FRAME_HEADROOM));
  };
  tell();
  const timer = setInterval(tell, POLL_MS).unref();
  return { drain: () => undefined, cancel: () => clearInterval(timer) };
}
