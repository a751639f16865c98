/** Every bound that a node keeps, by name, with its default. A request over a limit is refused before it is buffered. */
export interface Limits {
  /** etcd's default request limit: 1.5 MiB. */
  readonly requestBytesMax: number;
  /** etcd's default: operations in one transaction. */
  readonly txnOperationsMax: number;
  /** Commands of this node that wait for their result. */
  readonly pendingCommandsMax: number;
  readonly pendingBytesMax: number;
  /** Entries and bytes a leader has proposed and not committed. */
  readonly uncommittedEntriesMax: number;
  readonly uncommittedBytesMax: number;
  /** Bytes sent to one follower and not acknowledged. */
  readonly inflightBytesMax: number;
  readonly inflightMessagesMax: number;
  /** Log entries kept after a checkpoint for followers that lag. */
  readonly logBytesKept: number;
  /** State held in memory only; the next checkpoint starts at this size. Bounds the replay after a crash. */
  readonly dirtyBytesMax: number;
  readonly sessionsMax: number;
  /** Concurrent HTTP/2 streams of one connection, and connections of one node. */
  readonly connectionsMax: number;
  readonly streamsPerConnectionMax: number;
  /** Events queued for one watcher before it is cut off or catches up from disk. */
  readonly watchQueueBytesMax: number;
  /** Free disk space under which writes are refused. */
  readonly diskReserveBytes: number;
}

export const defaultLimits: Limits = {
  requestBytesMax: 1_572_864,
  txnOperationsMax: 128,
  pendingCommandsMax: 50_000,
  pendingBytesMax: 64 * 1024 * 1024,
  uncommittedEntriesMax: 4_096,
  uncommittedBytesMax: 64 * 1024 * 1024,
  inflightBytesMax: 16 * 1024 * 1024,
  inflightMessagesMax: 256,
  logBytesKept: 4 * 1024 * 1024,
  dirtyBytesMax: 4 * 1024 * 1024,
  sessionsMax: 4_096,
  connectionsMax: 10_000,
  streamsPerConnectionMax: 1_000,
  watchQueueBytesMax: 4 * 1024 * 1024,
  diskReserveBytes: 64 * 1024 * 1024,
};

export interface Timings {
  readonly heartbeatMs: number;
  /** The least election timeout; each node draws from [1, 2) times it. */
  readonly electionMs: number;
  /** An open disk write older than this makes a leader resign. Less than `electionMs`. */
  readonly diskStallMs: number;
  readonly callTimeoutMs: number;
  /** Opt-in lease reads: length, counted from the sending of the confirming round. 0: off. */
  readonly leaseMs: number;
}

export const defaultTimings: Timings = {
  heartbeatMs: 50,
  electionMs: 500,
  diskStallMs: 400,
  callTimeoutMs: 5_000,
  leaseMs: 0,
};
