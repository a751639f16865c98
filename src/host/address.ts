/** `host:port`, with an IPv6 host in brackets (RFC 3986, section 3.2.2). */
import { AlthingError } from "../base/errors.ts";

export interface Address {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Throws CONFIG_INVALID for anything but a host and a port from 0 to 65535. */
export function parseAddress(text: string): Address {
  const [, bracketed, plain, digits] =
    /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([^\s:[\]/@]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port > 65_535) {
    throw new AlthingError("CONFIG_INVALID", `Cannot use the address "${text}": it is not host:port`, {
      details: { address: text },
    });
  }
  return { host, port };
}

export function formatAddress(address: Address): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
