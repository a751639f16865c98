/**
 * A register that is written once, with the bare rules of Paxos: three acceptors, a proposer, a learner. Each message here is
 * a call that may be lost; in a program of yours it goes over a network, and what an acceptor has promised and accepted is
 * durable before its answer leaves.
 */
import { Acceptor, ballot, Learner, nodeId, Proposer, quorumsOf } from "../../src/paxos.ts"; // in your project: "althing/paxos"

const NODES = [1, 2, 3] as const;
const { isPhase1, isPhase2 } = quorumsOf(NODES);

/** Whether a message between a proposer and an acceptor arrives. */
export type Link = (node: number) => boolean;

export class Register {
  readonly #acceptors = new Map(NODES.map((node) => [node, new Acceptor<string>()]));
  readonly #learner = new Learner<string>(isPhase2);

  /** The value, once it is chosen. */
  get chosen(): string | undefined {
    return this.#learner.chosen?.value;
  }

  /** One attempt: the value that this proposer asked the acceptors to take, or undefined if too few promised. */
  write(value: string, attempt: { readonly number: number; readonly by: number }, arrives: Link): string | undefined {
    const mine = ballot(attempt.number, attempt.by);
    const proposer = new Proposer(mine, value, isPhase1);
    let proposed: { readonly value: string } | undefined;
    for (const [node, acceptor] of this.#acceptors) {
      if (arrives(node)) proposed = proposer.promised(nodeId(node), acceptor.prepare(mine)) ?? proposed; // phase 1
    }
    if (proposed === undefined) return undefined;
    for (const [node, acceptor] of this.#acceptors) {
      if (arrives(node)) this.#learner.accepted(nodeId(node), acceptor.accept(mine, proposed.value)); // phase 2
    }
    return proposed.value;
  }
}
