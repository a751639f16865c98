/** `host:port` as text, IPv6 hosts in brackets; and which hosts are this machine's own. */
import { AlthingError } from "../base/errors.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Fails with CONFIG_INVALID. */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535)) {
    throw new AlthingError(
      "CONFIG_INVALID",
      `Cannot listen on "${text}": an address is host:port, as in 127.0.0.1:7400`,
    );
  }
  return { host, port };
}

export function formatAddress(address: Address): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** True for `localhost`, 127.0.0.0/8 and ::1. Names that only resolve to loopback are not trusted to stay there. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host) || host === "::1";
}

/** Fails with ADDRESS_UNSAFE for an address that other machines reach, unless that is said to be wanted; CONFIG_INVALID. */
export function checkReach(text: string, options: { readonly insecure: boolean }): void {
  const address = parseAddress(text);
  if (isLoopback(address.host) || options.insecure) return;
  throw new AlthingError(
    "ADDRESS_UNSAFE",
    `Cannot listen on ${formatAddress(address)}: everyone who reaches it could read and write, unencrypted; listen on 127.0.0.1, or pass --insecure if the network is trusted`,
  );
}
