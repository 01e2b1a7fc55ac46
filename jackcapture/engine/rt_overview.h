/*
 * Overviews: min, max and RMS of every 256 frames of a chunk, per channel. For the writer thread; plain declarations,
 * which CFFI reads too. docs/store.md gives the layout.
 */

#define JC_OVERVIEW_FRAMES 256         /* frames of a block, counted from the chunk's first */
#define JC_OVERVIEW_VALUES 3           /* per block and channel: min, max, RMS */

/*
 * `out` is the overview of a whole chunk that reads as zeros where nothing was added, `at` the chunk's frames before
 * these, `sums` the sum of squares of each channel in the block that is not finished. Frames are added in order.
 */
void jc_overview_add(const jc_ring *ring, uint64_t from, uint32_t frames, uint64_t at, double *sums, float *out);
void jc_overview_add_silence(uint32_t channels, uint32_t frames, uint64_t at, double *sums, float *out);
