/**
 * Free space on the disk against the reserve. Asked on each new segment and at most once a second while the log is in use;
 * by a timer while there is too little, because then nobody writes.
 */
import type { Clock, Timer } from "../../ports/clock.ts";
import type { Disk } from "../../ports/disk.ts";
import type { Observer } from "../../ports/observer.ts";

const CHECK_MS = 1_000;

export class RoomWatch {
  readonly #disk: Pick<Disk, "freeBytes">;
  readonly #clock: Clock;
  readonly #observer: Observer;
  readonly #reserveBytes: number;
  #hasRoom = true;
  #checkedMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  #closed = false;

  constructor(
    ports: { readonly disk: Pick<Disk, "freeBytes">; readonly clock: Clock; readonly observer: Observer },
    reserveBytes: number,
  ) {
    this.#disk = ports.disk;
    this.#clock = ports.clock;
    this.#observer = ports.observer;
    this.#reserveBytes = reserveBytes;
  }

  get hasRoom(): boolean {
    return this.#hasRoom;
  }

  /** Called often; looks at the disk seldom. */
  touch(nowMs: number): void {
    if (nowMs - this.#checkedMs >= CHECK_MS) void this.check();
  }

  /** Never rejects: a disk that cannot tell its free space leaves the answer as it was. */
  async check(): Promise<void> {
    this.#checkedMs = this.#clock.monotonicMs();
    try {
      const freeBytes = await this.#disk.freeBytes();
      this.#set(freeBytes >= this.#reserveBytes, freeBytes);
    } catch (error) {
      this.#observer.observe({ type: "wal-room-unknown", level: "warn", why: String(error) });
      if (!this.#hasRoom) this.#arm();
    }
  }

  /** A write or a new file found no space, whatever the count of free bytes says. */
  full(): void {
    this.#set(false, 0);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #set(hasRoom: boolean, freeBytes: number): void {
    if (this.#closed) return;
    if (!hasRoom) this.#arm();
    if (hasRoom === this.#hasRoom) return;
    this.#hasRoom = hasRoom;
    this.#observer.observe({ type: "wal-room", level: hasRoom ? "info" : "warn", hasRoom, freeBytes });
  }

  #arm(): void {
    if (this.#closed) return;
    this.#timer ??= this.#clock.timer(CHECK_MS, () => {
      this.#timer = undefined;
      void this.check();
    });
  }
}
