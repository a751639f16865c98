/**
 * Keeps web pages away from a port that asks for no credentials. A page that a developer visits can post to 127.0.0.1; it
 * cannot hide its `Origin`, and after DNS rebinding it cannot hide its `Host`. etcd's own answer to the second is
 * `--host-whitelist`; CVE-2018-1098 and CVE-2018-1099 are the story.
 */
import type { IncomingHttpHeaders } from "node:http";

export type OriginVerdict = { readonly type: "allowed" } | { readonly type: "refused"; readonly why: string };

const ALLOWED: OriginVerdict = { type: "allowed" };

/** `trustHosts`: the address is public by the operator's choice, so that any host name may point here. */
export function judgeOrigin(headers: IncomingHttpHeaders, trustHosts: boolean): OriginVerdict {
  const host = headers.host;
  if (host !== undefined && !trustHosts && !isLocalName(hostName(host))) {
    return { type: "refused", why: `host ${JSON.stringify(host.slice(0, 256))} is no name of this machine` };
  }
  const origin = headers.origin;
  if (origin === undefined) return ALLOWED;
  const slashes = origin.indexOf("//");
  return slashes !== -1 && origin.slice(slashes + 2) === host
    ? ALLOWED
    : { type: "refused", why: `pages of ${JSON.stringify(origin.slice(0, 256))} may not call this node` };
}

function hostName(host: string): string {
  const bracket = host.lastIndexOf("]");
  const colon = host.lastIndexOf(":");
  return (colon > bracket ? host.slice(0, colon) : host).toLowerCase();
}

/** Names that no stranger's DNS answers for: addresses themselves, and `localhost` (RFC 6761). */
function isLocalName(name: string): boolean {
  return (
    name === "localhost" ||
    name.endsWith(".localhost") ||
    /^\d{1,3}(\.\d{1,3}){3}$/.test(name) ||
    /^\[[0-9a-f:.]+\]$/.test(name)
  );
}
