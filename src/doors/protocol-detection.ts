/**
 * Which protocol a connection speaks, from its first bytes.
 * Source  RFC 9113 section 3.4 (the HTTP/2 preface); RFC 9110 section 9 and RFC 5789 (method names); PostgreSQL protocol
 *         3.0, start-up (a length below 2^24 begins with 0x00); RFC 8446 section 5.1 (a handshake record is type 22).
 */
export type Detection =
  /** Too few bytes to tell. */
  | { readonly type: "undecided" }
  | { readonly type: "http1" }
  | { readonly type: "http2" }
  | { readonly type: "postgresql" }
  | { readonly type: "tls" }
  | { readonly type: "unknown" };

const HTTP2_PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"].map((name) =>
  Buffer.from(`${name} `, "latin1"),
);

/** No protocol needs more bytes than this to be told. */
export const DETECTION_BYTES_MAX: number = HTTP2_PREFACE.length;

export function detectProtocol(head: Uint8Array): Detection {
  if (head.length === 0) return { type: "undecided" };
  if (head[0] === 0x00) return { type: "postgresql" };
  if (head[0] === 0x16) return { type: "tls" };
  let undecided = false;
  for (const method of METHODS) {
    const match = comparePrefix(head, method);
    if (match === "whole") return { type: "http1" };
    if (match === "part") undecided = true;
  }
  // The whole preface, not its first letters: what sends "PRI" and waits is still on the listener's clock.
  const preface = comparePrefix(head, HTTP2_PREFACE);
  if (preface === "whole") return { type: "http2" };
  return undecided || preface === "part" ? { type: "undecided" } : { type: "unknown" };
}

/** Does `head` begin with the whole of `wanted`, or is it a part of it so far? */
function comparePrefix(head: Uint8Array, wanted: Uint8Array): "whole" | "part" | "none" {
  const length = Math.min(head.length, wanted.length);
  for (let i = 0; i < length; i++) {
    if (head[i] !== wanted[i]) return "none";
  }
  return head.length >= wanted.length ? "whole" : "part";
}
