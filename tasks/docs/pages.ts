/**
 * Pages of the documentation, in the order of the site's menu.
 *
 * @module
 */

/** A page of the site. */
export interface Page {
  /** Markdown file or notebook, from the repository's root. */
  readonly file: string;
  /** HTML file, from the site's root. */
  readonly path: string;
  /** Name in the menu. */
  readonly name: string;
}

const page = (file: string, path: string, name: string): Page => ({ file, path, name });
const guide = (stem: string, name: string) => page(`docs/${stem}.md`, `${stem}.html`, name);

/** Pages by part of the menu. */
export const PARTS: Readonly<Record<string, readonly Page[]>> = {
  Start: [guide("index", "Overview"), page("README.md", "readme.html", "README")],
  Guides: [
    guide("diffusion", "How diffusion works"),
    guide("training", "Training"),
    guide("scale", "Beyond one device"),
    guide("sampling", "Drawing and editing"),
    guide("evaluation", "Evaluation"),
    guide("serving", "Serving"),
    guide("browser", "In a browser"),
    guide("package", "The package"),
    page("deploy/README.md", "deploy.html", "Behind nginx"),
    guide("exchange", "Exchange with Python"),
    guide("kernels", "Kernels"),
    page("notebooks/quickstart.ipynb", "notebook.html", "Notebook"),
    page("examples/README.md", "examples.html", "Examples"),
  ],
  Reference: [
    guide("paper", "From the papers to the code"),
    page("ARCHITECTURE.md", "architecture.html", "Architecture"),
    page("SECURITY.md", "security.html", "Security"),
    page("CONTRIBUTING.md", "contributing.html", "Contributing"),
    page("CHANGELOG.md", "changelog.html", "Changes"),
  ],
  Figures: [
    guide("quality", "Quality"),
    guide("speed", "Speed"),
    guide("roofline", "Roofline"),
    guide("growth", "Growth of cost"),
    page("bench/NOTES.md", "notes.html", "Notes on speed"),
  ],
};

/** All pages. */
export const PAGES: readonly Page[] = Object.values(PARTS).flat();

/** Folder of the API reference in the site. */
export const API = "api";
