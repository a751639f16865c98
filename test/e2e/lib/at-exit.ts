/**
 * What must not outlive this process, whatever ends it: node processes, mounted disks, network namespaces, folders. Each is
 * undone by its owner in the normal course; here the rest is undone, newest first, when the process is told to end (SIGINT,
 * SIGTERM, SIGHUP) or ends by itself. Only SIGKILL leaves something behind.
 */

/** Must be synchronous, and touch nothing but what its owner made. */
export type Undo = () => void;

const pending = new Set<Undo>();
/** The shell's convention: 128 and the number of the signal. */
const signals = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
let isListening = false;

/** Keeps `undo` for the end of the process; the function returned forgets it again. */
export function atExit(undo: Undo): () => void {
  listen();
  pending.add(undo);
  return () => pending.delete(undo);
}

function listen(): void {
  if (isListening) return;
  isListening = true;
  process.on("exit", undoAll);
  for (const [signal, code] of Object.entries(signals)) {
    process.on(signal, () => {
      undoAll();
      process.exit(code);
    });
  }
}

function undoAll(): void {
  for (const undo of [...pending].reverse()) {
    pending.delete(undo);
    try {
      undo();
    } catch (error) {
      process.stderr.write(`${String(error)}\n`); // the others still have their turn
    }
  }
}
