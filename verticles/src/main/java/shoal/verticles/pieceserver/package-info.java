/** Hands out what the store has: file lists, metadata, pieces; watches the directories that files are put in. */
@NullMarked
package shoal.verticles.pieceserver;

import org.jspecify.annotations.NullMarked;
