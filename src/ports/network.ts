/**
 * Framed duplex connections between nodes. A frame arrives whole, in order and unchanged, or the connection closes;
 * how frames are delimited and checksummed is the implementation's business (`host/`: length, CRC32, bytes over TCP).
 */
export interface Connection {
  /** Queues one frame. Frames are written in one go at the end of the turn. Ignored after close. */
  send(frame: Uint8Array): void;
  /** Bytes queued and not yet handed to the operating system: for back-pressure. */
  readonly bufferedBytes: number;
  /** Set once, right after the connection is handed out; frames that arrive earlier are kept for it. */
  onFrame: (frame: Uint8Array) => void;
  /** Called once, also after a local `close`; no frame comes after it. */
  onClose: (reason: string) => void;
  close(): void;
}

export interface Listener {
  /** The address that others dial, with the port filled in. */
  readonly address: string;
  close(): Promise<void>;
}

export interface Network {
  /** `address` is `host:port`; port 0 picks a free one. Fails with ADDRESS_IN_USE. */
  listen(address: string, onConnection: (connection: Connection) => void): Promise<Listener>;
  /** Fails with UNREACHABLE. Whether the other side is who it should be is settled by the caller's handshake. */
  dial(address: string, options?: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<Connection>;
}
