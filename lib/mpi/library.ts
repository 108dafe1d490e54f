/**
 * An MPI library of the system, found at run time: Open MPI, or one with MPICH's binary interface (MPICH, Intel MPI, MVAPICH).
 * The two differ in what a handle is: the address of an object, or a number.
 *
 * @module
 */
import { join } from "node:path";
import { ConfigError } from "../errors.ts";

/**
 * Functions of MPI (MPI 3.1) that are used; `h` is a handle. Addresses are numbers of 64 bits, since Deno makes pointers only with
 * permission for all native code.
 */
function symbolsOf(h: "u64" | "i32") {
  return {
    MPI_Init_thread: { parameters: ["u64", "u64", "i32", "buffer"], result: "i32" },
    MPI_Finalize: { parameters: [], result: "i32" },
    MPI_Abort: { parameters: [h, "i32"], result: "i32" },
    MPI_Comm_rank: { parameters: [h, "buffer"], result: "i32" },
    MPI_Comm_size: { parameters: [h, "buffer"], result: "i32" },
    MPI_Get_library_version: { parameters: ["buffer", "buffer"], result: "i32" },
    MPI_Type_contiguous: { parameters: ["i32", h, "buffer"], result: "i32" },
    MPI_Type_free: { parameters: ["buffer"], result: "i32" },
    MPI_Type_commit: { parameters: ["buffer"], result: "i32" },
    MPI_Isend: { parameters: ["buffer", "i32", h, "i32", "i32", h, "buffer"], result: "i32" },
    MPI_Irecv: { parameters: ["buffer", "i32", h, "i32", "i32", h, "buffer"], result: "i32" },
    MPI_Ialltoallv: {
      parameters: ["buffer", "buffer", "buffer", h, "buffer", "buffer", "buffer", h, h, "buffer"],
      result: "i32",
    },
    MPI_Iallgatherv: {
      parameters: ["buffer", "i32", h, "buffer", "buffer", "buffer", h, h, "buffer"],
      result: "i32",
    },
    MPI_Cancel: { parameters: ["buffer"], result: "i32" },
    MPI_Request_free: { parameters: ["buffer"], result: "i32" },
    MPI_Get_processor_name: { parameters: ["buffer", "buffer"], result: "i32" },
    MPI_Test: { parameters: ["buffer", "buffer", "u64"], result: "i32" },
  } as const;
}

/** A handle of MPI: of a communicator or a data type. */
export type Handle = bigint | number;

/** Functions of a library with their handles filled in. */
export interface MpiLibrary {
  readonly path: string;
  /** Its name and version, in its own words. */
  readonly version: string;
  /** Handles of MPI_COMM_WORLD and MPI_BYTE, once MPI has been initialized. */
  handles(): { readonly world: Handle; readonly byte: Handle };
  /** The handle that a function has written. */
  handleIn(words: BigUint64Array<ArrayBuffer>): Handle;
  readonly statusIgnore: bigint;
  readonly call: Functions;
  close(): void;
}

// deno-lint-ignore no-explicit-any -- handles are pointers in one library and numbers in the other
type Functions = Readonly<Record<keyof ReturnType<typeof symbolsOf>, (...args: any[]) => number>>;

/** Variable that names a library. */
export const MPI_LIBRARY = "DENOISE_MPI_LIBRARY";

const OPEN_MPI = ["libmpi.so.40", "libmpi.so.80", "libmpi.so"];
const MPICH = ["libmpich.so.12", "libmpi.so.12", "libmpich.so"];

/** Variables variables of a process. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** Names of the libraries that the launcher of this process belongs to, the likeliest first. */
function libraryNames(env: Variables): string[] {
  if (env.OMPI_COMM_WORLD_SIZE !== undefined) return OPEN_MPI;
  if (env.PMI_SIZE !== undefined) return MPICH;
  return [...OPEN_MPI, ...MPICH];
}

/** Folders of libraries: the environment's, those of the launcher, and those of usual systems. */
async function libraryFolders(env: Variables): Promise<string[]> {
  const folders = (text = "") => text.split(":").filter((folder) => folder !== "");
  const launchers: string[] = [];
  for (const folder of folders(env.PATH)) {
    const launcher = await Deno.realPath(join(folder, "mpirun")).catch(() => undefined);
    if (launcher) launchers.push(join(launcher, "../../lib"), join(launcher, "../../lib64"));
  }
  const { arch } = Deno.build;
  return [
    ...folders(env.LD_LIBRARY_PATH),
    ...launchers,
    ...[`/usr/lib/${arch}-linux-gnu`, "/usr/lib64/openmpi/lib", "/usr/lib64/mpich/lib"],
    ...["/usr/lib64", "/usr/lib", "/usr/local/lib"],
  ];
}

/**
 * Finds the library of the launcher that started this process. Permission for native code needs its path.
 *
 * @throws {ConfigError} if there is none
 */
export async function findMpiLibrary(env: Variables): Promise<string> {
  const given = env[MPI_LIBRARY];
  if (given) return given;
  const names = libraryNames(env);
  const folders = await libraryFolders(env);
  for (const name of names) {
    for (const folder of folders) {
      const path = join(folder, name);
      if (await Deno.stat(path).then(({ isFile }) => isFile, () => false)) return path;
    }
  }
  const allowed =
    "a library of MPI: install Open MPI or MPICH (on Debian and Ubuntu: apt-get install openmpi-bin), " +
    `or name its file; ${names.join(", ")} are in none of ${[...new Set(folders)].join(", ")}`;
  throw new ConfigError(MPI_LIBRARY, undefined, allowed);
}

/** Values of MPICH's mpi.h, which its binary interface fixes. */
const MPICH_HANDLES = { world: 0x44000000, byte: 0x4c00010d };

/**
 * Opens a library.
 *
 * @throws {ConfigError} if it is none of MPI, or cannot be loaded
 */
export function openMpiLibrary(path: string): MpiLibrary {
  try {
    return openLibrary(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    throw new ConfigError(
      MPI_LIBRARY,
      path,
      `a library of MPI that can be loaded (${(error as Error).message})`,
    );
  }
}

function openLibrary(path: string): MpiLibrary {
  const { MPI_Get_library_version } = symbolsOf("i32");
  const probe = Deno.dlopen(path, { MPI_Get_library_version });
  const text = new Uint8Array(8192); // MPI_MAX_LIBRARY_VERSION_STRING is 256 in Open MPI, 8192 in MPICH
  const length = new Int32Array(1);
  probe.symbols.MPI_Get_library_version(text, length);
  const version = new TextDecoder().decode(text.subarray(0, length[0])).replace(/\0.*/s, "").trim();
  probe.close();
  return /open mpi/i.test(version) ? openOpenMpi(path, version) : openMpich(path, version);
}

/** Fortran's numbers of MPI_COMM_WORLD and MPI_BYTE in Open MPI: what its C handles can be made from without their addresses. */
const OPEN_MPI_NUMBERS = { world: 0, byte: 1 };

function openOpenMpi(path: string, version: string): MpiLibrary {
  const library = Deno.dlopen(path, {
    ...symbolsOf("u64"),
    MPI_Comm_f2c: { parameters: ["i32"], result: "u64" },
    MPI_Type_f2c: { parameters: ["i32"], result: "u64" },
  });
  const { MPI_Comm_f2c, MPI_Type_f2c, ...call } = library.symbols;
  return {
    ...{ path, version, call: call as unknown as Functions },
    handles: () => ({
      world: MPI_Comm_f2c(OPEN_MPI_NUMBERS.world),
      byte: MPI_Type_f2c(OPEN_MPI_NUMBERS.byte),
    }),
    handleIn: ([address]) => address!,
    statusIgnore: 0n, // MPI_STATUS_IGNORE
    close: () => library.close(),
  };
}

function openMpich(path: string, version: string): MpiLibrary {
  const library = Deno.dlopen(path, symbolsOf("i32"));
  return {
    ...{ path, version, call: library.symbols as unknown as Functions },
    handles: () => MPICH_HANDLES,
    handleIn: (words) => new Int32Array(words.buffer)[0]!,
    statusIgnore: 1n,
    close: () => library.close(),
  };
}
