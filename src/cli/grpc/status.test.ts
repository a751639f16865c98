import { describe, expect, test } from "vitest";
import { callFailure } from "./call-failure.ts";
import { grpcTimeout } from "./connection.ts";
import { grpcCode } from "../../doors/grpc/status.ts";
import { decodeGrpcMessage, GrpcError, grpcStatusName } from "./status.ts";

describe("decodeGrpcMessage()", () => {
  test("undoes percent-encoding, UTF-8 included", () => {
    expect(decodeGrpcMessage("a%20b%25 %E2%82%AC")).toBe("a b% €");
  });

  test("keeps malformed escapes as they are", () => {
    expect(decodeGrpcMessage("100% %zz %2")).toBe("100% %zz %2");
  });
});

test("grpcStatusName() writes names as the protocol does", () => {
  expect(grpcStatusName(4)).toBe("DEADLINE_EXCEEDED");
  expect(grpcStatusName(14)).toBe("UNAVAILABLE");
  expect(grpcStatusName(99)).toBe("STATUS99");
});

test("grpcTimeout() never has more than eight digits", () => {
  expect(grpcTimeout(1.2)).toBe("2m");
  expect(grpcTimeout(99_999_999)).toBe("99999999m");
  expect(grpcTimeout(2_147_483_647)).toBe("2147484S");
});

describe("callFailure()", () => {
  const endpoint = "http://127.0.0.1:1";
  const exitOf = (code: number, message: string, progress: "not-sent" | "answered" | "lost"): string =>
    callFailure(new GrpcError(code, message, { progress, endpoint }), [endpoint]).exit;

  test.each([
    ["not-sent", grpcCode.unavailable, "connection refused", "unreachable"],
    ["lost", grpcCode.deadlineExceeded, "no answer within 5 ms", "timeout"],
    ["answered", grpcCode.unavailable, "etcdserver: request timed out", "timeout"],
    ["lost", grpcCode.unavailable, "the connection broke", "failure"],
    ["answered", grpcCode.notFound, "etcdserver: requested lease not found", "notFound"],
    ["answered", grpcCode.failedPrecondition, "etcdserver: x", "conflict"],
    ["answered", grpcCode.permissionDenied, "etcdserver: permission denied", "permission"],
    ["answered", grpcCode.unauthenticated, "etcdserver: invalid auth token", "permission"],
    ["answered", grpcCode.invalidArgument, "etcdserver: key is not provided", "usage"],
    ["answered", grpcCode.unavailable, "etcdserver: no leader", "unhealthy"],
    ["answered", grpcCode.internal, "x", "failure"],
  ] as const)("%s %i %s: exit %s", (progress, code, message, exit) => {
    expect(exitOf(code, message, progress)).toBe(exit);
  });

  test("a lost write is reported as unknown, never as failed", () => {
    const failure = callFailure(new GrpcError(14, "broke", { progress: "lost", endpoint }), [endpoint]);
    expect(failure.code).toBe("OUTCOME_UNKNOWN");
    expect(failure.message).toContain("may or may not have happened");
  });
});
