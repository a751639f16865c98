#!/usr/bin/env -S node --max-semi-space-size=4 --heap-growing-percent=100
/**
 * The first file that runs. It uses old syntax only and loads the rest afterwards, so that an older Node gets a sentence
 * instead of a syntax error.
 */
const found = process.versions.node.split(".");
const major = Number(found[0]);
const minor = Number(found[1]);

if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(
    "error: Cannot run althing: it needs Node.js 22.18 or newer, this is " +
      process.versions.node +
      ". Next: install a current Node.js from https://nodejs.org\n",
  );
  process.exitCode = 1;
} else {
  void import("node:module")
    .then(function (module) {
      module.enableCompileCache(); // halves the time to the first line; the cache is Node's own, in the temporary folder
      return import("./program.ts");
    })
    .then(function (program) {
      return program.main(process.argv.slice(2));
    });
}
