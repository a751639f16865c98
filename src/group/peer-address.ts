/** Where another node is, and which data folder is expected there. */
import type { NodeId } from "../base/ids.ts";

export interface PeerAddress {
  readonly id: NodeId;
  readonly address: string;
  /** 0: not yet bound, any is welcome. */
  readonly incarnation: number;
}
