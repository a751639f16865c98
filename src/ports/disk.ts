/**
 * The part of a file system that a node uses. Paths are relative to the node's data folder, with `/`.
 * Rules that both implementations keep, because real disks do:
 * - `append` and `write` reach the page cache only; `sync` makes the file's data and length durable;
 * - a created, renamed or removed name is durable only after `syncDirectory` of its folder;
 * - a failed `sync` is final (DISK_FAILED): the caller stops the process, a later success would prove nothing;
 * - no space is DISK_FULL, and what was written before stays readable.
 */
export interface DiskFile {
  readonly path: string;
  /** Writes the buffers one after the other at `offset`, growing the file when needed. Completes in the page cache. */
  write(buffers: readonly Uint8Array[], offset: number): Promise<void>;
  /** Fills `target` from `offset`; returns the count of bytes read, less than asked only at the end of the file. */
  read(target: Uint8Array, offset: number): Promise<number>;
  /** fdatasync: data and what is needed to find them again. */
  sync(): Promise<void>;
  truncate(length: number): Promise<void>;
  /** Reserves space without changing the content; may do nothing. */
  allocate(length: number): Promise<void>;
  length(): Promise<number>;
  close(): Promise<void>;
}

export interface DiskLock {
  close(): Promise<void>;
}

export interface Disk {
  /** Opens for reading and writing; with `create` makes the file if it is missing. A missing file without it: undefined. */
  open(path: string, options: { readonly create: boolean }): Promise<DiskFile | undefined>;
  /** Names in a folder, sorted; an empty list if the folder is missing. */
  list(folder: string): Promise<readonly string[]>;
  makeFolder(folder: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  syncDirectory(folder: string): Promise<void>;
  /** Holds the folder for this process until closed or the process ends. Fails with DATA_LOCKED. */
  lock(path: string): Promise<DiskLock>;
  freeBytes(): Promise<number>;
}
