/**
 * Ranks that a launcher of MPI has started (`mpirun -n 4 deno task train …`), one process each.
 *
 * @module
 */
import { DeviceError } from "../errors.ts";
import { type Communicator, gatherJson } from "./communicator.ts";
import { Heartbeat, type Mailbox, type Watched } from "./heartbeat.ts";
import { findMpiLibrary, type Handle, type MpiLibrary, openMpiLibrary, type Variables } from "./library.ts";

/** MPI_THREAD_SINGLE: only the thread of this process calls MPI. */
const THREAD_SINGLE = 0;
/** Milliseconds that a wait polls without giving way to other work. */
const SPIN = 0.2;
/** Milliseconds after which a wait polls less often: the others are busy with something else. */
const PATIENCE = 2000;
const LONG_PAUSE = 5;

/**
 * Number of processes that a launcher of MPI has started with this one; 1 without a launcher. Open MPI's and MPICH's say it
 * themselves, Slurm's `srun` of the step.
 */
export function launchedRanks(env: Variables): number {
  const ofStep = env.PMIX_RANK === undefined ? undefined : env.SLURM_STEP_NUM_TASKS;
  const size = Number(env.OMPI_COMM_WORLD_SIZE ?? env.PMI_SIZE ?? ofStep ?? 1);
  return Number.isInteger(size) && size > 0 ? size : 1;
}

/**
 * Joins the ranks that a launcher of MPI (`mpirun`, `srun`) has started. Needs permission for environment variables, to read the
 * system's folders of libraries, and for the library's native code.
 *
 * @returns undefined where there is no launcher, or it has started this process alone
 * @throws {ConfigError} if there is no library of MPI, or it cannot be loaded
 *
 * @example
 * ```ts ignore
 * const communicator = await joinRanks(); // mpirun -n 4 deno run -A train.ts
 * for await (const event of train({ data: await cifar10(), communicator, accumulate: 4, out: "runs/cats" })) {
 *   if (event.type === "epoch" && !communicator?.rank) console.log(event.epoch, event.valLoss);
 * }
 * await communicator?.close();
 * ```
 */
export async function joinRanks(): Promise<MpiCommunicator | undefined> {
  const environment = Deno.env.toObject();
  if (launchedRanks(environment) === 1) return undefined;
  return new MpiCommunicator(await findMpiLibrary(environment));
}

/** Ranks of MPI_COMM_WORLD. */
export class MpiCommunicator implements Communicator {
  /** Number of this rank, from 0. */
  readonly rank: number;
  /** Number of ranks. */
  readonly size: number;
  readonly #library: MpiLibrary;
  readonly #world: Handle;
  /** Four bytes: a float32, which counts may then count. */
  readonly #word: Handle;
  readonly #wordHandle = new BigUint64Array(1);
  readonly #byte: Handle;
  #mail: MpiMailbox | undefined;
  #heartbeat: Heartbeat | undefined;

  /**
   * Initializes MPI; once in a process.
   *
   * @param path of the library
   * @throws {ConfigError} if it is none of MPI, or cannot be loaded
   */
  constructor(path: string) {
    const library = this.#library = openMpiLibrary(path);
    const { call } = library;
    const provided = new Int32Array(1);
    this.#check("MPI_Init_thread", call.MPI_Init_thread(0n, 0n, THREAD_SINGLE, provided));
    const { world, byte } = library.handles();
    [this.#world, this.#byte] = [world, byte];
    const number = new Int32Array(1);
    this.#check("MPI_Comm_rank", call.MPI_Comm_rank(world, number));
    this.rank = number[0]!;
    this.#check("MPI_Comm_size", call.MPI_Comm_size(world, number));
    this.size = number[0]!;
    this.#check("MPI_Type_contiguous", call.MPI_Type_contiguous(4, byte, this.#wordHandle));
    this.#check("MPI_Type_commit", call.MPI_Type_commit(this.#wordHandle));
    this.#word = library.handleIn(this.#wordHandle);
  }

  /** Name and version of the library, e.g. `Open MPI v4.1.4`. */
  get version(): string {
    const [first = ""] = this.#library.version.split(/[\n,]/);
    return first.replace(/\s+/g, " ").replace(" Version:", "");
  }

  async exchange(
    send: Float32Array<ArrayBuffer>,
    sendCounts: readonly number[],
    receive: Float32Array<ArrayBuffer>,
    receiveCounts: readonly number[],
  ): Promise<void> {
    const [to, from] = [layout(sendCounts), layout(receiveCounts)];
    const [type, request] = [this.#word, new BigUint64Array(1)];
    this.#check(
      "MPI_Ialltoallv",
      this.#library.call.MPI_Ialltoallv(
        ...[send, to.counts, to.offsets, type, receive, from.counts, from.offsets, type],
        ...[this.#world, request],
      ),
    );
    await this.#wait(request);
  }

  async gather(
    part: Float32Array<ArrayBuffer>,
    whole: Float32Array<ArrayBuffer>,
    counts: readonly number[],
  ): Promise<void> {
    await this.#gather(part, counts[this.rank]!, whole, counts, this.#word);
  }

  async gatherBytes(own: Uint8Array): Promise<Uint8Array[]> {
    const lengths = new Float32Array(this.size);
    const ones = Array.from({ length: this.size }, () => 1);
    await this.gather(Float32Array.of(own.length), lengths, ones); // exact up to 16 MiB
    const counts = [...lengths];
    const whole = new Uint8Array(counts.reduce((sum, count) => sum + count, 0));
    await this.#gather(Uint8Array.from(own), own.length, whole, counts, this.#byte);
    let at = 0;
    return counts.map((count) => whole.slice(at, at += count));
  }

  async #gather(
    part: ArrayBufferView<ArrayBuffer>,
    count: number,
    whole: ArrayBufferView<ArrayBuffer>,
    counts: readonly number[],
    type: Handle,
  ): Promise<void> {
    const { counts: each, offsets } = layout(counts);
    const request = new BigUint64Array(1);
    this.#check(
      "MPI_Iallgatherv",
      this.#library.call.MPI_Iallgatherv(
        ...[part, count, type, whole, each, offsets, type, this.#world, request],
      ),
    );
    await this.#wait(request);
  }

  /**
   * Watches the other ranks: rank 0 all of them, and they rank 0. Once, until {@linkcode close}.
   *
   * @param timeout seconds without a sign of life after which a rank is taken for dead
   * @param onSilent called with it
   */
  watch(timeout: number, onSilent: (rank: number) => void): void {
    this.#mail = new MpiMailbox(this.#library, this.#world, this.#byte, this);
    this.#heartbeat = new Heartbeat(this, this.#mail, { timeout, onSilent });
    this.#heartbeat.start();
  }

  /** Collects a description of each rank's process, for messages: its host and id. */
  async processes(): Promise<string[]> {
    const [name, length] = [new Uint8Array(256), new Int32Array(1)]; // MPI_MAX_PROCESSOR_NAME is 255 or less
    this.#check("MPI_Get_processor_name", this.#library.call.MPI_Get_processor_name(name, length));
    const host = new TextDecoder().decode(name.subarray(0, length[0]));
    return await gatherJson(this, `process ${Deno.pid} on ${host}`);
  }

  abort(): never {
    this.#library.call.MPI_Abort(this.#world, 1);
    Deno.exit(1);
  }

  /** Waits for all ranks, and ends MPI; all ranks must. */
  async close(): Promise<void> {
    await this.gatherBytes(new Uint8Array()); // MPI_Finalize would wait without giving way
    this.#heartbeat?.stop();
    this.#mail?.close();
    this.#check("MPI_Type_free", this.#library.call.MPI_Type_free(this.#wordHandle));
    this.#check("MPI_Finalize", this.#library.call.MPI_Finalize());
    this.#library.close();
  }

  /** Waits for a request while other work of this process goes on. */
  async #wait(request: BigUint64Array<ArrayBuffer>): Promise<void> {
    const flag = new Int32Array(1);
    const began = performance.now();
    let since = began;
    while (true) {
      this.#check(
        "MPI_Test",
        this.#library.call.MPI_Test(request, flag, this.#library.statusIgnore),
      );
      if (flag[0] !== 0) return;
      const now = performance.now();
      if (now - since < SPIN) continue;
      await new Promise((resolve) => setTimeout(resolve, now - began < PATIENCE ? 0 : LONG_PAUSE));
      since = performance.now();
    }
  }

  #check(name: string, code: number): void {
    if (code !== 0) throw new DeviceError(`${name} of ${this.#library.version} failed with code ${code}`);
  }
}

/** Counts and offsets of parts that follow one another, as MPI takes them. */
function layout(counts: readonly number[]): {
  counts: Int32Array<ArrayBuffer>;
  offsets: Int32Array<ArrayBuffer>;
} {
  const offsets = new Int32Array(counts.length);
  for (let i = 1; i < counts.length; i++) offsets[i] = offsets[i - 1]! + counts[i - 1]!;
  return { counts: Int32Array.from(counts), offsets };
}

/** Tag of signs of life. */
const BEAT = 1;

/** Letter to or from a rank: its word, and the request that it belongs to. */
interface Letter {
  readonly word: Uint8Array<ArrayBuffer>;
  readonly request: BigUint64Array<ArrayBuffer>;
}

/** Messages of a byte, sent and received without waiting. */
class MpiMailbox implements Mailbox {
  readonly #library: MpiLibrary;
  readonly #world: Handle;
  readonly #byte: Handle;
  readonly #sent = new Map<number, Letter>();
  readonly #expected = new Map<number, Letter>();

  constructor(library: MpiLibrary, world: Handle, byte: Handle, { rank, size }: Watched) {
    [this.#library, this.#world, this.#byte] = [library, world, byte];
    const peers = rank === 0 ? Array.from({ length: size - 1 }, (_, i) => i + 1) : [0];
    for (const peer of peers) this.#expect(peer);
  }

  send(to: number): boolean {
    const before = this.#sent.get(to);
    if (before && !this.#isDone(before)) return false;
    const letter = emptyLetter();
    this.#library.call.MPI_Isend(letter.word, 1, this.#byte, to, BEAT, this.#world, letter.request);
    this.#sent.set(to, letter);
    return true;
  }

  receive(from: number): boolean {
    let any = false;
    for (
      let letter = this.#expected.get(from);
      letter && this.#isDone(letter);
      letter = this.#expected.get(from)
    ) {
      any = true;
      this.#expect(from);
    }
    return any;
  }

  /** Gives up what has not come. */
  close(): void {
    for (const { request } of this.#expected.values()) {
      this.#library.call.MPI_Cancel(request);
      this.#library.call.MPI_Request_free(request);
    }
    this.#expected.clear();
  }

  #expect(from: number): void {
    const letter = emptyLetter();
    this.#library.call.MPI_Irecv(letter.word, 1, this.#byte, from, BEAT, this.#world, letter.request);
    this.#expected.set(from, letter);
  }

  #isDone({ request }: Letter): boolean {
    const flag = new Int32Array(1);
    this.#library.call.MPI_Test(request, flag, this.#library.statusIgnore);
    return flag[0] !== 0;
  }
}

function emptyLetter(): Letter {
  return { word: new Uint8Array(1), request: new BigUint64Array(1) };
}
