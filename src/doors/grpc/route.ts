/** From `/service/method` to what serves it, with grpc-go's own words for what is not there. */
import type { Method, Services } from "./method.ts";
import { type GrpcStatus, grpcCode, grpcStatus } from "./status.ts";

export type Route =
  | { readonly type: "found"; readonly method: Method }
  | { readonly type: "missing"; readonly status: GrpcStatus };

export class Router {
  readonly #routes = new Map<string, Route>();
  readonly #services: ReadonlySet<string>;

  constructor(services: Services) {
    this.#services = new Set(Object.keys(services));
    for (const [service, methods] of Object.entries(services)) {
      for (const [name, method] of Object.entries(methods)) {
        this.#routes.set(`/${service}/${name}`, { type: "found", method });
      }
    }
  }

  find(path: string): Route {
    return this.#routes.get(path) ?? { type: "missing", status: this.#missing(path) };
  }

  #missing(path: string): GrpcStatus {
    const inner = path.startsWith("/") ? path.slice(1) : path;
    const slash = inner.lastIndexOf("/");
    if (slash === -1) return grpcStatus(grpcCode.resourceExhausted, `malformed method name: "/${shorten(inner)}"`);
    const service = inner.slice(0, slash);
    const name = shorten(inner.slice(slash + 1));
    return this.#services.has(service)
      ? grpcStatus(grpcCode.unimplemented, `unknown method ${name} for service ${service}`)
      : grpcStatus(grpcCode.unimplemented, `unknown service ${shorten(service)}`);
  }
}

/** What a caller wrote comes back in its own answer, but not without a bound. */
function shorten(text: string): string {
  return text.length <= 256 ? text : `${text.slice(0, 256)}...`;
}
