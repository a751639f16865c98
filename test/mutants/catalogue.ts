/** Every mutant, in the order in which they are hunted and listed. */
import type { Mutant } from "./mutant.ts";
import { groupMutants } from "./group.ts";
import { paxosMutants } from "./paxos.ts";
import { raftElections } from "./raft-elections.ts";
import { raftLog } from "./raft-log.ts";
import { raftMembers } from "./raft-members.ts";
import { raftReads } from "./raft-reads.ts";
import { walMutants } from "./wal.ts";

export const mutants: readonly Mutant[] = [
  ...raftElections,
  ...raftLog,
  ...raftMembers,
  ...raftReads,
  ...paxosMutants,
  ...groupMutants,
  ...walMutants,
];
