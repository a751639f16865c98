/** The HTTP status of each gRPC code, as the gateway inside etcd 3.4 maps them (its FAILED_PRECONDITION is still 412). */
import type { GrpcCode } from "../grpc/status.ts";

const httpStatus: Readonly<Record<GrpcCode, number>> = {
  0: 200,
  1: 408,
  2: 500,
  3: 400,
  4: 504,
  5: 404,
  6: 409,
  7: 403,
  8: 429,
  9: 412,
  10: 409,
  11: 400,
  12: 501,
  13: 500,
  14: 503,
  15: 500,
  16: 401,
};

export function httpStatusOf(code: GrpcCode): number {
  return httpStatus[code];
}
