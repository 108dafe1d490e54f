/**
 * Class names, dimensions and checksums of CIFAR-10 (Krizhevsky, "Learning multiple layers of features from tiny images",
 * 2009; https://www.cs.toronto.edu/~kriz/cifar.html).
 *
 * @module
 */

/** Class names of CIFAR-10 in the order of their labels, 0 to 9. */
export const CIFAR10_CLASSES: readonly string[] = [
  "airplane",
  "automobile",
  "bird",
  "cat",
  "deer",
  "dog",
  "frog",
  "horse",
  "ship",
  "truck",
];

/** The 50,000 training images or the 10,000 test images. */
export type Cifar10Split = "train" | "test";

/** Height and width of an image in pixels. */
export const IMAGE_SIDE = 32;
/** Pixels of an image, and bytes of one of its colour planes. */
export const PLANE_BYTES = 1024;
/** Bytes of an image: three colours. */
export const IMAGE_BYTES = 3072;
/** Images in each official batch file. */
export const BATCH_RECORDS = 10_000;

/** An official archive. */
export interface OfficialArchive {
  /** File name. */
  readonly file: string;
  /** Size in bytes; shown in errors, so that a truncated download is recognised. */
  readonly bytes: number;
  /** MD5 in hex, as published on the data set's page. */
  readonly md5: string;
}

/** The supported official archives. */
export const OFFICIAL_ARCHIVES: readonly OfficialArchive[] = [
  { file: "cifar-10-binary.tar.gz", bytes: 170_052_171, md5: "c32a1d4ab5d03f1284b67883e8d87530" },
  { file: "cifar-10-python.tar.gz", bytes: 170_498_071, md5: "c58f30108f718f92721af3b95e74349a" },
];

/** MD5 of the batch files in the official archives by file name (`.bin`: binary version; no extension: python version). */
export const BATCH_MD5: Readonly<Record<string, string>> = {
  "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
  "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
  "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
  "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
  "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
  "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
  "data_batch_1": "c99cafc152244af753f735de768cd75f",
  "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
  "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
  "data_batch_4": "634d18415352ddfa80567beed471001a",
  "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
  "test_batch": "40351d587109b95175f43aff81a1287e",
};

/** `ImageDataset.digest` of the official images and labels by split; the same for every source. */
export const CONTENT_SHA256: Readonly<Record<Cifar10Split, string>> = {
  train: "f912919bdea371136f1aa4feed6beeca728015a5f08b1899a29c932a7e30be2b",
  test: "8193b3fbce55bec361cd1b8fd4880cb1649832dc4d6de6da1e7a21847a4843aa",
};
