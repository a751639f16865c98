/** etcd's Cluster service on the group's own members. */
import { assert } from "../base/assert.ts";
import { type NodeId, nodeId } from "../base/ids.ts";
import type { Member as GroupMember } from "../consensus/contract/configuration.ts";
import type { CallOptions } from "../group/handle.ts";
import { type Access, etcdErrorOf, resultOf } from "./access.ts";
import { CommandTag, command, MemberIdRequest } from "./command.ts";
import { EtcdError } from "./etcd-error.ts";
import type {
  Member,
  MemberAddRequest,
  MemberAddResponse,
  MemberListRequest,
  MemberListResponse,
  MemberPromoteRequest,
  MemberPromoteResponse,
  MemberRemoveRequest,
  MemberRemoveResponse,
  MemberUpdateRequest,
  MemberUpdateResponse,
} from "./messages.ts";
import { decodeAnswer, encodeQuestion } from "./question.ts";

/** A learner this close to the leader's log may vote: the share of the log that it has, as in etcd. */
const READY_SHARE = 0.9;

export class ClusterService {
  readonly #access: Access;
  readonly #peerScheme: string;

  constructor(access: Access, options: { readonly peerScheme: "http" | "https" }) {
    this.#access = access;
    this.#peerScheme = options.peerScheme;
  }

  async list(request: MemberListRequest, options?: CallOptions): Promise<MemberListResponse> {
    if (request.linearizable) await this.#access.confirm(options);
    return this.#answer();
  }

  /**
   * Adds a node that is to be started with the answer's id. It begins as a learner; unless it was asked for as one, it
   * becomes a voter by itself when it has caught up, so that adding a member never costs the group its majority.
   */
  async add(request: MemberAddRequest, options?: CallOptions): Promise<MemberAddResponse> {
    const address = this.#addressOf(request.peerUrls);
    const least = Math.max(0, ...this.#members.map((member) => member.id)) + 1;
    const bytes = command(CommandTag.memberId, MemberIdRequest, { least });
    const id = nodeId(resultOf(await this.#access.propose(bytes, options), "member-id").id);
    await this.#access.handle.changeMembers((members) => {
      if (members.some((member) => member.address === address)) throw new EtcdError("PEER_URL_EXISTS");
      if (members.some((member) => member.id === id)) throw new EtcdError("MEMBER_EXISTS");
      const added: GroupMember = {
        id,
        incarnation: 0,
        role: "learner",
        promote: !request.isLearner,
        name: "",
        address,
        clientUrls: [],
      };
      return [...members, added].sort((a, b) => a.id - b.id);
    }, options);
    const answer = this.#answer();
    const member = answer.members.find((one) => one.id === BigInt(id)) ?? {
      id: BigInt(id),
      name: "",
      peerUrls: [...request.peerUrls],
      clientUrls: [],
      isLearner: true,
    };
    return { ...answer, member };
  }

  async remove(request: MemberRemoveRequest, options?: CallOptions): Promise<MemberRemoveResponse> {
    const leaving = this.#access.handle.members.find((member) => BigInt(member.id) === request.id);
    if (leaving !== undefined) {
      // Used up before the member goes: a founder's id was never given out by the store, and would be the next one.
      await this.#access.propose(command(CommandTag.memberId, MemberIdRequest, { used: leaving.id }), options);
    }
    await this.#change(request.id, (members, member) => members.filter((one) => one.id !== member.id), options);
    return this.#answer();
  }

  /** Changes the address under which a member is dialled. */
  async update(request: MemberUpdateRequest, options?: CallOptions): Promise<MemberUpdateResponse> {
    const address = this.#addressOf(request.peerUrls);
    await this.#change(
      request.id,
      (members, member) => {
        const other = members.find((one) => one.address === address);
        if (other !== undefined && other.id !== member.id) throw new EtcdError("PEER_URL_EXISTS");
        return members.map((one) => (one.id === member.id ? { ...one, address } : one));
      },
      options,
    );
    return this.#answer();
  }

  async promote(request: MemberPromoteRequest, options?: CallOptions): Promise<MemberPromoteResponse> {
    const member = this.#find(this.#members, request.id);
    if (member.role !== "learner") throw new EtcdError("MEMBER_NOT_LEARNER");
    const ready = await this.#isReady(member.id, options);
    if (!ready) throw new EtcdError("LEARNER_NOT_READY");
    await this.#change(
      request.id,
      (members, found) => {
        if (found.role !== "learner") throw new EtcdError("MEMBER_NOT_LEARNER");
        return members.map((one) => (one.id === found.id ? { ...one, role: "voter", promote: false } : one));
      },
      options,
    );
    return this.#answer();
  }

  async #isReady(member: NodeId, options?: CallOptions): Promise<boolean> {
    try {
      const question = encodeQuestion({ type: "learner-ready", member });
      return decodeAnswer(await this.#access.handle.askLeader(question, options)) === 1;
    } catch (error) {
      throw etcdErrorOf(error);
    }
  }

  /** The leader's answer about a learner. Throws NO_LEADER on any other node. */
  learnerReady(member: number): boolean {
    const { handle } = this.#access;
    if (!handle.isReadyLeader) throw new EtcdError("NO_LEADER");
    const { peers, commit } = handle.status();
    const peer = peers.find((one) => one.peer === member);
    return peer !== undefined && peer.state !== "snapshot" && peer.match >= commit * READY_SHARE;
  }

  async #change(
    id: bigint,
    change: (members: readonly GroupMember[], member: GroupMember) => readonly GroupMember[],
    options?: CallOptions,
  ): Promise<void> {
    this.#find(this.#members, id); // answers at once what would fail anyway
    await this.#access.handle.changeMembers((members) => change(members, this.#find(members, id)), options);
  }

  #find(members: readonly GroupMember[], id: bigint): GroupMember {
    const member = members.find((one) => BigInt(one.id) === id);
    if (member === undefined) throw new EtcdError("MEMBER_NOT_FOUND");
    return member;
  }

  get #members(): readonly GroupMember[] {
    return this.#access.handle.members;
  }

  #answer(): { readonly header: MemberListResponse["header"]; readonly members: readonly Member[] } {
    const members = this.#members.map(
      (member): Member => ({
        id: BigInt(member.id),
        name: member.name,
        peerUrls: [`${this.#peerScheme}://${member.address}`],
        clientUrls: [...member.clientUrls],
        isLearner: member.role === "learner",
      }),
    );
    // A list of members is of no revision of the store: etcd leaves it out too.
    return { header: { ...this.#access.headerNow(), revision: 0 }, members };
  }

  /** `host:port` of the first peer URL. A member has one address here; etcd allows several. */
  #addressOf(urls: readonly string[]): string {
    const match = /^https?:\/\/([^/?#\s@]+):(\d{1,5})$/.exec(urls[0] ?? "");
    const host = match?.[1];
    const port = Number(match?.[2]);
    if (urls.length !== 1 || host === undefined || !(port >= 1 && port <= 65_535)) {
      throw new EtcdError("MEMBER_BAD_URLS");
    }
    assert(host.length > 0, "the pattern demands a host");
    return `${host}:${port}`;
  }
}
