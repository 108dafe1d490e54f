/** A network of few kernels, for browsers whose software adapter compiles slowly. */
import { type UNetConfig, unetConfig } from "../../../lib/model/config.ts";

/** The network, for RGB images of 32 x 32 pixels. */
export function smallNetwork(classes: number): UNetConfig {
  return unetConfig({
    sampleSize: 32,
    blockOutChannels: [8],
    downBlockTypes: ["DownBlock2D"],
    upBlockTypes: ["UpBlock2D"],
    layersPerBlock: 1,
    normNumGroups: 4,
    addAttention: false,
    numClassEmbeds: classes + 1, // and no class
  });
}
