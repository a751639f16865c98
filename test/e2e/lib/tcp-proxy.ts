/**
 * A TCP proxy on loopback for one directed link: the connections that node A dials to node B. Faults of the network are
 * made here, without the rights that packet filters need.
 *
 * What a cut means: bytes stay unread, as they would on a network that loses packets, so the sender's buffers fill up; new
 * connections are accepted by the kernel and then hear nothing. A healed link goes on with the bytes it held, as TCP does
 * after retransmission; `reset` breaks it instead.
 */
import { createServer, connect, type Server, type Socket } from "node:net";

export interface LinkFault {
  /** Bytes from the dialling side are held. */
  readonly forwardCut: boolean;
  /** Bytes from the side that was dialled are held. */
  readonly backwardCut: boolean;
  /** Milliseconds that each chunk waits, in both directions. Order is kept. */
  readonly delayMs: number;
}

const healthy: LinkFault = { forwardCut: false, backwardCut: false, delayMs: 0 };

export class TcpProxy {
  readonly #server: Server;
  readonly #target: () => number;
  readonly #pipes = new Set<Pipe>();
  readonly #sockets = new Set<Socket>();
  #fault: LinkFault = healthy;

  private constructor(server: Server, target: () => number) {
    this.#server = server;
    this.#target = target;
    server.on("connection", (socket) => this.#accept(socket));
  }

  /** Listens on a free loopback port; forwards to loopback port `target()`, asked at each connection. */
  static open(target: () => number): Promise<TcpProxy> {
    return new Promise((resolve, reject) => {
      const server = createServer({ pauseOnConnect: true });
      server.once("error", reject);
      server.listen(0, "127.0.0.1", () => resolve(new TcpProxy(server, target)));
    });
  }

  get address(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("Cannot read the proxy's port");
    return `127.0.0.1:${address.port}`;
  }

  get fault(): LinkFault {
    return this.#fault;
  }

  set fault(fault: Partial<LinkFault>) {
    this.#fault = { ...this.#fault, ...fault };
    for (const pipe of this.#pipes) pipe.pump();
  }

  /** Back to a good link; what was held goes on. */
  heal(): void {
    this.fault = healthy;
  }

  /** Breaks all open connections with a TCP reset. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  close(): Promise<void> {
    this.reset();
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #accept(near: Socket): void {
    const far = connect({ port: this.#target(), host: "127.0.0.1", allowHalfOpen: false });
    far.pause();
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      this.#sockets.add(socket);
      socket.on("error", () => undefined); // "close" follows
      socket.on("close", () => this.#sockets.delete(socket));
    }
    const forward = new Pipe(near, far, () => ({ cut: this.#fault.forwardCut, delayMs: this.#fault.delayMs }));
    const backward = new Pipe(far, near, () => ({ cut: this.#fault.backwardCut, delayMs: this.#fault.delayMs }));
    for (const pipe of [forward, backward]) {
      this.#pipes.add(pipe);
      pipe.onEnd = () => this.#pipes.delete(pipe);
      pipe.pump();
    }
  }
}

/** One direction of one connection. Holds at most one socket buffer of bytes. */
class Pipe {
  onEnd: () => void = () => undefined;
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #fault: () => { readonly cut: boolean; readonly delayMs: number };
  readonly #held: { readonly chunk: Buffer | undefined; readonly dueMs: number }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isBlocked = false;

  constructor(from: Socket, to: Socket, fault: () => { readonly cut: boolean; readonly delayMs: number }) {
    this.#from = from;
    this.#to = to;
    this.#fault = fault;
    from.on("data", (chunk: Buffer) => this.#hold(chunk));
    from.on("end", () => this.#hold(undefined)); // the end waits behind the bytes, and a cut hides it too
    from.on("close", () => {
      // A reset on one side cannot cross a cut link: the other side hears of it when the link heals.
      if (from.errored !== null || from.destroyed) this.#hold(undefined);
    });
    to.on("drain", () => {
      this.#isBlocked = false;
      this.pump();
    });
    to.on("close", () => {
      clearTimeout(this.#timer);
      from.destroy();
      this.onEnd();
    });
  }

  /** Moves what may move now. */
  pump(): void {
    const { cut } = this.#fault();
    if (cut) {
      this.#from.pause();
      return;
    }
    const now = performance.now();
    for (let next = this.#held[0]; next !== undefined && next.dueMs <= now && !this.#isBlocked; next = this.#held[0]) {
      this.#held.shift();
      if (next.chunk === undefined) this.#to.end();
      else if (!this.#to.destroyed) this.#isBlocked = !this.#to.write(next.chunk);
    }
    const waiting = this.#held[0];
    if (this.#isBlocked) this.#from.pause();
    else if (!this.#from.destroyed) this.#from.resume();
    clearTimeout(this.#timer);
    if (waiting !== undefined && !this.#isBlocked) {
      this.#timer = setTimeout(() => this.pump(), Math.max(0, waiting.dueMs - now));
    }
  }

  #hold(chunk: Buffer | undefined): void {
    this.#held.push({ chunk, dueMs: performance.now() + this.#fault().delayMs });
    this.pump();
  }
}
