/** The real host under a simulated world, on Node.js: a macrotask per drain, and unhandled rejections reported. */
import type { SimHost } from "../../src/sim/world.ts";

export const nodeSimHost: SimHost = {
  drain: () => new Promise((resolve) => setImmediate(resolve)),
  watchRejections(report) {
    const listener = (error: unknown): void => report(error);
    process.on("unhandledRejection", listener);
    return () => {
      process.off("unhandledRejection", listener);
    };
  },
};
