/**
 * One node as a server: the Node.js ports, the node, its public door, logs and metrics, put together. What is opened is
 * closed in reverse order, also when opening fails half-way.
 */
import type { NodeSettings } from "./config/node-config.ts";

export interface Server {
  /** `host:port` of the public and of the peer port. */
  readonly address: string;
  readonly peerAddress: string;
  /** Resolves with the reason when the node cannot go on. */
  readonly failed: Promise<unknown>;
  close(): Promise<void>;
}

export interface ServerHooks {
  /** The node's view of the leader; 0: none known. */
  readonly onLeader: (leader: number, term: number) => void;
}

export async function openServer(_settings: NodeSettings, _hooks: ServerHooks): Promise<Server> {
  throw new Error("later");
}
