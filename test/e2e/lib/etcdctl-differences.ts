/**
 * Where a command of etcdctl is meant to answer otherwise on Althing than on etcd, and why. A test that meets one names it, and
 * holds each side to its own pattern, matched against `exit CODE`, stdout and stderr; a difference that has gone fails too.
 */

interface Difference {
  readonly why: string;
  readonly etcd: RegExp;
  readonly althing: RegExp;
}

export const differences = {
  "users and roles": {
    why: "Althing keeps no users or roles yet: it says so instead of accepting one that would protect nothing",
    etcd: /^exit 0\n/,
    althing: /^exit 1\n[\s\S]*Cannot change users or roles: this server keeps none yet/,
  },
  "what a snapshot holds": {
    why: "a snapshot of Althing is no bbolt database, which etcdctl opens by itself to count its keys; the file's checksum, which it checks while saving, is right",
    etcd: /^exit 0\n/,
    althing: /^exit 1\n/,
  },
  "more than one learner": {
    why: "etcd 3.4 allows a single learner at a time, because its own cost the leader much; ours are bounded by flow control",
    etcd: /^exit 1\n[\s\S]*too many learner members in cluster/,
    althing: /^exit 0\nMember/,
  },
  "a learner that was updated": {
    why: "etcd 3.4 forgets that a member is a learner when its address changes; ours stays one",
    etcd: /unstarted, , http:\/\/127\.0\.0\.1:\d+3, , false/,
    althing: /unstarted, , http:\/\/127\.0\.0\.1:\d+3, , true/,
  },
} as const satisfies Readonly<Record<string, Difference>>;

export type DifferenceName = keyof typeof differences;
