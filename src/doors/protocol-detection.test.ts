import { describe, expect, it } from "vitest";
import { DETECTION_BYTES_MAX, detectProtocol } from "./protocol-detection.ts";

const text = (value: string): Uint8Array => Buffer.from(value, "latin1");
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

describe("detectProtocol()", () => {
  it("tells every method name, and waits while it is cut", () => {
    for (const name of ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"]) {
      expect(detectProtocol(text(`${name} / HTTP/1.1\r\n`)).type).toBe("http1");
      for (let length = 1; length <= name.length; length++) {
        expect(detectProtocol(text(name.slice(0, length))).type).toBe("undecided");
      }
    }
  });

  it("wants the whole HTTP/2 preface", () => {
    for (let length = 1; length < PREFACE.length; length++) {
      expect(detectProtocol(text(PREFACE.slice(0, length))).type).toBe("undecided");
    }
    expect(detectProtocol(text(PREFACE)).type).toBe("http2");
    expect(detectProtocol(text(`${PREFACE}more`)).type).toBe("http2");
    expect(detectProtocol(text(PREFACE.replace("SM", "XX"))).type).toBe("unknown");
  });

  it("tells PostgreSQL and TLS by their first byte", () => {
    expect(detectProtocol(Uint8Array.of(0)).type).toBe("postgresql");
    expect(detectProtocol(Uint8Array.of(0x16)).type).toBe("tls");
  });

  it("decides about any bytes within its bound", () => {
    for (let first = 0; first < 256; first++) {
      const head = Buffer.alloc(DETECTION_BYTES_MAX, 0x21);
      head[0] = first;
      expect(detectProtocol(head).type).not.toBe("undecided");
    }
    expect(detectProtocol(new Uint8Array(0)).type).toBe("undecided");
  });

  it("knows no lower-case method and no look-alike", () => {
    for (const line of ["get / HTTP/1.1", "GETS /", "GET\t/", "POSTE /", "PRIX", "SSH-2.0-x", "\r\nGET / "]) {
      expect(detectProtocol(text(line)).type).toBe("unknown");
    }
  });
});
