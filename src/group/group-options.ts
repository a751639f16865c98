/** What a group is opened with. */
import type { GroupId, Incarnation, NodeId } from "../base/ids.ts";
import type { Limits, Timings } from "../config/limits.ts";
import type { Configuration } from "../consensus/contract/configuration.ts";
import type { CoreFactory } from "../consensus/contract/core.ts";
import type { LogRecord } from "../consensus/contract/record.ts";
import type { SlotLog, WalDamage } from "../storage/wal/contract.ts";
import type { Peers } from "./peers.ts";
import type { StateMachine } from "./state-machine.ts";

/** What every part of a group may see, whatever the machine. */
export interface GroupSettings {
  readonly group: GroupId;
  /** Folder for checkpoints and incoming snapshots. */
  readonly folder: string;
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
  readonly wal: SlotLog;
  readonly peers: Peers;
  /** What the member list should say of this node; told to the leader when it says something else. */
  readonly self: { readonly name: string; readonly clientUrls: readonly string[] };
  readonly priority: number;
  readonly limits: Limits;
  readonly timings: Timings;
  readonly snapshotBytesPerSecond: number;
  /** The node cannot go on (a failed disk). Called once. */
  readonly fatal: (error: unknown) => void;
}

export interface GroupOptions<Result, Query, Answer> extends GroupSettings {
  readonly machine: StateMachine<Result, Query, Answer>;
  readonly core: CoreFactory;
  /** This group's records from the WAL. */
  readonly records: readonly LogRecord[];
  /** Acknowledged records that the WAL has lost and that are, or may be, this group's. */
  readonly damage: readonly WalDamage[];
  /** The members of a new cluster; undefined: this node waits to be added. Ignored once there is any state. */
  readonly bootstrap: Configuration | undefined;
}
