/** `npm run bench <name> [flags]`: the benchmarks. Numbers to compare, not tests: nothing here passes or fails on speed. */

const benches: Readonly<Record<string, (args: readonly string[]) => Promise<void>>> = {
  kv: async (args) => {
    const { benchKv } = await import("./kv.ts");
    await benchKv(args);
  },
  consensus: async (args) => {
    const { benchConsensus } = await import("./consensus.ts");
    await benchConsensus(args);
  },
  sim: async (args) => {
    const { benchSim } = await import("./sim.ts");
    await benchSim(args);
  },
};

const [name = "", ...args] = process.argv.slice(2);
const bench = benches[name];
if (bench === undefined) {
  process.stderr.write(
    `Cannot run bench "${name}": there is ${Object.keys(benches).join(", ")}. See bench/README.md\n`,
  );
  process.exitCode = 2;
} else {
  try {
    await bench(args);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
