/**
 * The alarms that a member raises about itself, and takes back by itself when their reason is gone:
 *
 * - NOSPACE, while its disk has no room. While any is raised the store refuses what takes space, as etcd does; deletions and
 *   compactions go on.
 * - CORRUPT, when its copy of the store was found damaged, until it has a sound one. Unlike etcd's it stops nobody but the
 *   member itself (ADR 9): the others' copies are as good as before.
 *
 * The leader takes back alarms of members that have left.
 */
import type { GroupStatus } from "../group/handle.ts";
import type { Outcome } from "../group/outcome.ts";
import type { Timer } from "../ports/clock.ts";
import type { Access } from "./access.ts";
import { CommandTag, command } from "./command.ts";
import { AlarmAction, AlarmRequest, AlarmType } from "./messages.ts";
import type { Store } from "./store.ts";
import type { StoreResult } from "./store-result.ts";

const INTERVAL_MS = 1_000;

interface Kind {
  readonly alarm: number;
  /** What the Observer hears: `<name>-alarm-raised`, `<name>-alarm-cleared`. */
  readonly name: string;
  readonly isDue: (store: Store, status: GroupStatus) => boolean;
}

const NOSPACE: Kind = { alarm: AlarmType.NOSPACE, name: "space", isDue: (_, status) => status.diskFull };
const CORRUPT: Kind = { alarm: AlarmType.CORRUPT, name: "damage", isDue: (store) => store.damage !== undefined };

export class MemberAlarms {
  readonly #access: Access;
  #timer: Timer | undefined;
  #closed = false;
  /** Kinds of which a proposal is under way. */
  readonly #busy = new Set<Kind>();

  constructor(access: Access) {
    this.#access = access;
    this.#plan();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  /** Raises CORRUPT without waiting for the next look. Resolves with the end of the proposal, however it ends. */
  raiseCorrupt(): Promise<void> {
    return new Promise((resolve) => {
      this.#propose(CORRUPT, BigInt(this.#access.handle.nodeId), AlarmAction.ACTIVATE, resolve);
    });
  }

  #plan(): void {
    this.#timer = this.#access.clock.timer(INTERVAL_MS, () => {
      if (this.#access.store.isWhole) for (const kind of [NOSPACE, CORRUPT]) this.#look(kind);
      if (!this.#closed) this.#plan();
    });
  }

  #look(kind: Kind): void {
    if (this.#busy.has(kind)) return;
    const { handle, store } = this.#access;
    const own = BigInt(handle.nodeId);
    const raised = store.alarms.filter((one) => one.alarm === kind.alarm).map((one) => one.memberId);
    const isDue = kind.isDue(store, handle.status());
    if (isDue && !raised.includes(own)) this.#propose(kind, own, AlarmAction.ACTIVATE);
    else if (!isDue && raised.includes(own)) this.#propose(kind, own, AlarmAction.DEACTIVATE);
    else if (handle.isReadyLeader) {
      const members = new Set(handle.members.map((member) => BigInt(member.id)));
      const gone = raised.find((id) => !members.has(id));
      if (gone !== undefined) this.#propose(kind, gone, AlarmAction.DEACTIVATE);
    }
  }

  /** Past `Access.submit`, which takes nothing from those whose copy is damaged. */
  #propose(kind: Kind, memberId: bigint, action: number, then: () => void = () => undefined): void {
    this.#busy.add(kind);
    const bytes = command(CommandTag.alarm, AlarmRequest, { action, memberId, alarm: kind.alarm });
    const done = (outcome: Outcome<StoreResult>): void => {
      this.#busy.delete(kind); // a failure is tried again with the next look
      if (outcome.type === "committed" && outcome.result.type === "alarm") {
        const type = `${kind.name}-alarm-${action === AlarmAction.ACTIVATE ? "raised" : "cleared"}`;
        this.#access.observer.observe({ type, level: "warn", member: Number(memberId) });
      }
      then();
    };
    this.#access.handle.submit(bytes, done, { urgent: true });
  }
}
