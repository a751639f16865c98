/**
 * The catalogue of metrics: `althing_<area>_<what>_<unit>`, a sentence of help, and labels whose values are few. Beside
 * these a node exports prom-client's own about the process (`process_*`, `nodejs_*`).
 */
export interface Metric {
  readonly name: `althing_${string}`;
  readonly help: string;
  readonly labels: readonly string[];
}

export interface HistogramMetric extends Metric {
  /** Upper bounds, in the unit of the name. */
  readonly buckets: readonly number[];
}

export type CounterKey =
  | "events"
  | "walFlushedBytes"
  | "walFlushedRecords"
  | "groupRoleChanges"
  | "groupCheckpoints"
  | "groupSnapshotsSent"
  | "groupSnapshotsInstalled"
  | "peerLosses";

/** Values that are set: at an event, or when a scrape asks for them. */
export type GaugeKey =
  | "walHasRoom"
  | "walRecoverySeconds"
  | "groupLeader"
  | "groupTerm"
  | "groupCommitIndex"
  | "groupAppliedIndex"
  | "groupPendingCommands"
  | "groupSessions"
  | "groupDiskStalled"
  | "peerConnected"
  | "engineFileBytes"
  | "engineUsedBytes"
  | "diskFreeBytes";

export type HistogramKey = "walFlushSeconds";

export const counters: Readonly<Record<CounterKey, Metric>> = {
  events: {
    name: "althing_observer_events_total",
    help: "Events of level info and above, by name and level.",
    labels: ["event", "level"],
  },
  walFlushedBytes: {
    name: "althing_wal_flushed_bytes_total",
    help: "Bytes of log records made durable.",
    labels: [],
  },
  walFlushedRecords: {
    name: "althing_wal_flushed_records_total",
    help: "Log records made durable.",
    labels: [],
  },
  groupRoleChanges: {
    name: "althing_group_role_changes_total",
    help: "Changes of this node's role in the group, by the role that was entered.",
    labels: ["group", "role"],
  },
  groupCheckpoints: {
    name: "althing_group_checkpoints_total",
    help: "Checkpoints of the group's state written by this node.",
    labels: ["group"],
  },
  groupSnapshotsSent: {
    name: "althing_group_snapshots_sent_total",
    help: "Transfers of a snapshot to another node that ended, by outcome (ok, failed).",
    labels: ["group", "outcome"],
  },
  groupSnapshotsInstalled: {
    name: "althing_group_snapshots_installed_total",
    help: "Snapshots of other nodes that replaced this node's state.",
    labels: ["group"],
  },
  peerLosses: {
    name: "althing_peer_losses_total",
    help: "Connections to the peer that were lost.",
    labels: ["peer"],
  },
};

export const gauges: Readonly<Record<GaugeKey, Metric>> = {
  walHasRoom: {
    name: "althing_wal_has_room",
    help: "1 while free disk space is above the reserve, 0 while writes are refused.",
    labels: [],
  },
  walRecoverySeconds: {
    name: "althing_wal_recovery_seconds",
    help: "Time that reading the log took at the last start.",
    labels: [],
  },
  groupLeader: {
    name: "althing_group_leader",
    help: "1 if this node leads the group, else 0.",
    labels: ["group"],
  },
  groupTerm: {
    name: "althing_group_term",
    help: "The consensus term as this node knows it.",
    labels: ["group"],
  },
  groupCommitIndex: {
    name: "althing_group_commit_index",
    help: "The highest log index known to be committed.",
    labels: ["group"],
  },
  groupAppliedIndex: {
    name: "althing_group_applied_index",
    help: "The highest log index applied to this node's state machine.",
    labels: ["group"],
  },
  groupPendingCommands: {
    name: "althing_group_pending_commands",
    help: "Commands of this node that wait for their result.",
    labels: ["group"],
  },
  groupSessions: {
    name: "althing_group_sessions",
    help: "Client sessions that the state machine keeps.",
    labels: ["group"],
  },
  groupDiskStalled: {
    name: "althing_group_disk_stalled",
    help: "1 while the oldest open disk write is older than the limit at which a leader resigns.",
    labels: ["group"],
  },
  peerConnected: {
    name: "althing_peer_connected",
    help: "1 while a connection to the peer stands.",
    labels: ["peer"],
  },
  engineFileBytes: {
    name: "althing_engine_file_bytes",
    help: "Size of the storage engine's file.",
    labels: ["engine"],
  },
  engineUsedBytes: {
    name: "althing_engine_used_bytes",
    help: "Bytes of the storage engine's file that hold data.",
    labels: ["engine"],
  },
  diskFreeBytes: {
    name: "althing_disk_free_bytes",
    help: "Free space of the disk that holds the data folder.",
    labels: [],
  },
};

const SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

export const histograms: Readonly<Record<HistogramKey, HistogramMetric>> = {
  walFlushSeconds: {
    name: "althing_wal_flush_seconds",
    help: "Time from a batch of log records to its durability: one write and one fdatasync.",
    labels: [],
    buckets: SECONDS,
  },
};
