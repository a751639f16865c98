/**
 * What two clusters cannot have in common, put aside before their outputs are compared. Everything else must be equal: values,
 * revisions, versions, counts, orders, texts, exit codes.
 *
 * The table below is the whole of it. A rule names what it puts aside and why; a rule replaces, it never drops, so that a
 * field which is missing on one side still shows.
 */

interface Rule {
  readonly what: string;
  readonly why: string;
  readonly pattern: RegExp;
  readonly replacement: string;
}

export const putAside: readonly Rule[] = [
  {
    what: "the client's own log lines: time, connection id, target",
    why: "etcdctl writes them; the retry and its error text stay",
    pattern: /"ts":"[^"]*"|"target":"(endpoint:\/\/client-[^"]*|passthrough:\/\/\/[^"]*)"|client-[0-9a-f-]{36}/g,
    replacement: "<of this run>",
  },
  {
    what: "member ids in answers",
    why: "etcd hashes the peer address and the token; ours are the numbers given to `--id`",
    pattern: /(?<=("member_id":|"leader":|"MemberID" : |"Leader" : ))\d+/g,
    replacement: "<member>",
  },
  {
    what: "member ids in texts and tables, and their width",
    why: "as above; which member is meant shows in the address beside it",
    pattern:
      /(?<=^|^\| *)[0-9a-f]+(?=, (un)?started,| *\| (un)?started)|(?<=^(?:http:\/\/)?<client address \d>, |^\| (?:http:\/\/)?<client address \d> *\| *)[0-9a-f]+(?=,| )|(?<=^Member) +[0-9a-f]+(?= )|(?<="ID":)\d+(?=,"(name|peerURLs)")|(?<=^"ID" : )\d+(?=\n"Name")/gm,
    replacement: "<member>",
  },
  {
    what: "the padding before a cluster's id",
    why: "etcdctl prints it 16 wide; ours has 48 bits",
    pattern: /(?<= cluster) +(?=[0-9a-f]{1,16}$)/gm,
    replacement: " ",
  },
  {
    what: "the ruling of tables",
    why: "columns are as wide as the ids and addresses in them",
    pattern: /(?<=^\+)[-+]+(?=\+$)/gm,
    replacement: "--",
  },
  {
    what: "the padding of tables",
    why: "as above",
    pattern: / *\| */g,
    replacement: "|",
  },
  {
    what: "terms and log indexes",
    why: "how often an election was held, and what else is in the log, is the cluster's own business",
    pattern:
      /(?<=("raft_term":|"raftTerm":|"raftIndex":|"raftAppliedIndex":|"RaftTerm" : |"RaftIndex" : |"RaftAppliedIndex" : ))\d+|(?<=, (?:true|false), )\d+, \d+, \d+(?=, )|(?<=\|(?:true|false)\|)\d+\|\d+\|\d+(?=\|)/g,
    replacement: "<raft>",
  },
  {
    what: "database sizes",
    why: "another file format",
    pattern: /(?<=("dbSize":|"dbSizeInUse":|"DBSize" : |"DBSizeInUse" : ))\d+|\b[\d.]+ [kM]B\b/g,
    replacement: "<size>",
  },
  {
    what: "hashes",
    why: "etcd hashes its own file's bytes; that nodes agree is asked for in its own test",
    pattern:
      /(?<=("hash":|"Hash" : |^(?:http:\/\/)?<client address \d>, |^\|(?:http:\/\/)?<client address \d>\|))\d+(?=[,}\n|])/gm,
    replacement: "<hash>",
  },
  {
    what: "how long a call took",
    why: "time",
    pattern: /(?<=took = |"took":"|"Took" : |\|(?:true|false)\|)[\d.]+(µs|us|ms|s)/g,
    replacement: "<time>",
  },
  {
    what: "seconds left of a lease",
    why: "a second may pass between grant and question; the granted time stays",
    pattern: /(?<=remaining\(|"ttl":|"TTL" : )[1-9]\d*/g,
    replacement: "<left>",
  },
];

/** Of one script on one node: equal ids get equal names, in order of appearance, so that which id is which is still compared. */
export class Normal {
  readonly #addresses: ReadonlyMap<string, string>;
  readonly #ids = new Map<bigint, string>();

  /** `addresses`: what to call the addresses (and names) of this cluster. */
  constructor(addresses: ReadonlyMap<string, string>) {
    this.#addresses = addresses;
  }

  text(raw: string): string {
    let text = raw;
    for (const [address, name] of this.#addresses) text = text.replaceAll(address, name);
    for (const { pattern, replacement } of putAside) text = text.replace(pattern, replacement);
    // 60-bit ids: leases and clusters, decimal in JSON, hexadecimal elsewhere, in keys of locks too.
    text = text.replace(
      /(?<=("cluster_id":|"ClusterID" : |"ID":|"id":|"ID" : |"lease":|"Lease" : |"LeaseID" : ))\d{10,20}\b/g,
      (id) => this.#name(BigInt(id)),
    );
    return text.replace(/(?<![0-9a-zA-Z<])[0-9a-f]{12,16}(?![0-9a-zA-Z])/g, (id) => this.#name(BigInt(`0x${id}`)));
  }

  #name(id: bigint): string {
    if (id <= 0xffffn) return String(id); // not made by a server: `0000000000000001` in an error's text
    const known = this.#ids.get(id);
    if (known !== undefined) return known;
    const name = `<id ${this.#ids.size + 1}>`;
    this.#ids.set(id, name);
    return name;
  }
}
