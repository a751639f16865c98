/**
 * Word to systemd for units of `Type=notify` (sd_notify(3)). Node.js has no datagram sockets in the file system, so the
 * `systemd-notify` program carries it; the unit needs `NotifyAccess=all`. Outside systemd nothing happens.
 */
import { execFile } from "node:child_process";

/** Sends one assignment, such as `READY=1` or `STOPPING=1`. Resolves when it is sent or cannot be; it never rejects. */
export function notifySystemd(state: string): Promise<void> {
  if (process.env["NOTIFY_SOCKET"] === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    execFile("systemd-notify", [state], { timeout: 5_000 }, () => resolve());
  });
}

/** Sends `WATCHDOG=1` at half the unit's `WatchdogSec`, for as long as the event loop turns. */
export function startWatchdog(): { close(): void } {
  const everyMs = Number(process.env["WATCHDOG_USEC"] ?? 0) / 2_000;
  if (!(everyMs >= 1)) return { close: () => undefined };
  const timer = setInterval(() => void notifySystemd("WATCHDOG=1"), everyMs).unref();
  return { close: () => clearInterval(timer) };
}
