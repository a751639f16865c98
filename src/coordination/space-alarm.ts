/**
 * The NOSPACE alarm: a node whose disk has no room raises it, and takes it back by itself when there is room again. While
 * any is raised the store refuses what takes space, as etcd does; deletions and compactions go on. The leader takes back
 * alarms of members that have left.
 */
import type { Timer } from "../ports/clock.ts";
import type { Access } from "./access.ts";
import type { EtcdError } from "./etcd-error.ts";
import { CommandTag, command } from "./command.ts";
import { AlarmAction, AlarmRequest, AlarmType } from "./messages.ts";

const INTERVAL_MS = 1_000;

export class SpaceAlarm {
  readonly #access: Access;
  #timer: Timer | undefined;
  #closed = false;
  /** A proposal is under way. */
  #busy = false;

  constructor(access: Access) {
    this.#access = access;
    this.#plan();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #plan(): void {
    this.#timer = this.#access.clock.timer(INTERVAL_MS, () => {
      this.#look();
      if (!this.#closed) this.#plan();
    });
  }

  #look(): void {
    if (this.#busy) return;
    const { handle, store } = this.#access;
    const own = BigInt(handle.nodeId);
    const raised = store.alarms.filter((one) => one.alarm === AlarmType.NOSPACE).map((one) => one.memberId);
    const full = handle.status().diskFull;
    if (full && !raised.includes(own)) this.#propose(own, AlarmAction.ACTIVATE);
    else if (!full && raised.includes(own)) this.#propose(own, AlarmAction.DEACTIVATE);
    else if (handle.isReadyLeader) {
      const members = new Set(handle.members.map((member) => BigInt(member.id)));
      const gone = raised.find((id) => !members.has(id));
      if (gone !== undefined) this.#propose(gone, AlarmAction.DEACTIVATE);
    }
  }

  #propose(memberId: bigint, action: number): void {
    this.#busy = true;
    const bytes = command(CommandTag.alarm, AlarmRequest, { action, memberId, alarm: AlarmType.NOSPACE });
    const done = (error: EtcdError | undefined): void => {
      this.#busy = false; // a failure is tried again with the next look
      if (error !== undefined) return;
      const type = action === AlarmAction.ACTIVATE ? "space-alarm-raised" : "space-alarm-cleared";
      this.#access.observer.observe({ type, level: "warn", member: Number(memberId) });
    };
    this.#access.submit(bytes, (error, _result) => done(error), { urgent: true });
  }
}
