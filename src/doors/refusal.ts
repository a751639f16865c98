/**
 * Says no in the caller's own protocol, where that is a few bytes: a client that names the cause saves an hour.
 * Source  PostgreSQL protocol 3.0, "Message Formats" (SSLRequest, GSSENCRequest, CancelRequest, ErrorResponse);
 *         RFC 8446 section 6 (alert protocol).
 */
const SSL_REQUEST = 80_877_103;
const GSS_REQUEST = 80_877_104;
const CANCEL_REQUEST = 80_877_102;
/** PostgreSQL itself takes no longer start-up packet. */
const STARTUP_BYTES_MAX = 10_000;

/** A fatal `handshake_failure` alert in a TLS 1.2 record, which every version of TLS reads. */
export const TLS_REFUSAL: Uint8Array = Uint8Array.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28]);

export type StartupStep =
  | { readonly type: "incomplete" }
  /** Send `answer`; the client goes on. `consumed` bytes are dealt with. */
  | { readonly type: "answer"; readonly answer: Uint8Array; readonly consumed: number }
  | { readonly type: "refuse"; readonly answer: Uint8Array }
  /** Nothing this side may say. */
  | { readonly type: "close" };

const NO: Uint8Array = Uint8Array.from([0x4e]);

/** The next step with the start-up bytes that a PostgreSQL client has sent so far. */
export function postgresqlStartup(head: Uint8Array): StartupStep {
  if (head.length < 8) return { type: "incomplete" };
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const length = view.getUint32(0);
  const code = view.getUint32(4);
  if (length < 8 || length > STARTUP_BYTES_MAX) return { type: "close" };
  if (code === SSL_REQUEST || code === GSS_REQUEST) {
    return length === 8 ? { type: "answer", answer: NO, consumed: 8 } : { type: "close" };
  }
  if (code === CANCEL_REQUEST) return { type: "close" };
  if (head.length < length) return { type: "incomplete" };
  return { type: "refuse", answer: postgresqlError("0A000", "this node does not serve SQL") };
}

/** An ErrorResponse of severity FATAL. */
function postgresqlError(sqlState: string, message: string): Uint8Array {
  const fields = `SFATAL\0VFATAL\0C${sqlState}\0M${message}\0\0`;
  const answer = Buffer.alloc(5 + Buffer.byteLength(fields));
  answer.write("E", 0, "latin1");
  answer.writeUInt32BE(answer.length - 1, 1);
  answer.write(fields, 5, "utf8");
  return answer;
}
