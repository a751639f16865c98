/**
 * Which cluster a command talks to: `--endpoints`, then ALTHING_ENDPOINTS, then ETCDCTL_ENDPOINTS, then the profile of
 * the nearest `althing dev`, then the default port on loopback.
 */
import { CliFailure } from "./failure.ts";
import { findProfile } from "./profile.ts";

export const DEFAULT_PORT = 7400;

export type EndpointSource = "--endpoints" | "ALTHING_ENDPOINTS" | "ETCDCTL_ENDPOINTS" | "the profile" | "the default";

export interface Endpoints {
  /** URLs, at least one. */
  readonly urls: readonly string[];
  readonly source: EndpointSource;
}

export async function resolveEndpoints(
  flag: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  folder: string,
): Promise<Endpoints> {
  if (flag !== undefined) return { urls: parseEndpoints(flag, "--endpoints"), source: "--endpoints" };
  for (const name of ["ALTHING_ENDPOINTS", "ETCDCTL_ENDPOINTS"] as const) {
    const value = env[name];
    if (value !== undefined && value.trim() !== "") return { urls: parseEndpoints(value, name), source: name };
  }
  const profile = await findProfile(folder);
  if (profile !== undefined && profile.endpoints.length > 0) {
    return { urls: parseEndpoints(profile.endpoints.join(","), "the profile"), source: "the profile" };
  }
  return { urls: [`http://127.0.0.1:${DEFAULT_PORT}`], source: "the default" };
}

/** A comma-separated list of `host:port`, `host` or URLs, as URLs without a path. */
export function parseEndpoints(list: string, source: EndpointSource): readonly string[] {
  const urls = list
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part) => parseEndpoint(part, source));
  if (urls.length === 0) throw new CliFailure("usage", `Cannot use ${source}: it names no endpoint`);
  return [...new Set(urls)];
}

function parseEndpoint(text: string, source: EndpointSource): string {
  const refuse = (why: string): CliFailure =>
    new CliFailure("usage", `Cannot use the endpoint ${text} of ${source}: ${why}`, {
      next: "name it as host:port, for example 127.0.0.1:7400",
    });
  let url: URL;
  try {
    url = new URL(text.includes("://") ? text : `http://${text}`);
  } catch (error) {
    throw new CliFailure("usage", refuse("it is not an address").message, { next: refuse("").next, cause: error });
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") throw refuse(`${url.protocol} is not http: or https:`);
  if (url.username !== "" || url.password !== "") throw refuse("credentials do not belong into an endpoint");
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") throw refuse("it has a path");
  // The URL parser drops a port that is the scheme's own; a written port always counts.
  const written = /:(\d+)$/.exec(text.replace(/\/$/, ""))?.[1];
  const port = written ?? (url.protocol === "https:" ? "443" : String(DEFAULT_PORT));
  if (Number(port) === 0) throw refuse("port 0 is no address to call");
  return `${url.protocol}//${url.hostname}:${port}`;
}
