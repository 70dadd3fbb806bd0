/** Runs layers on what comes in by QUIC, in order, and hands the result on. */
@NullMarked
package shoal.verticles.inferencestage;

import org.jspecify.annotations.NullMarked;
