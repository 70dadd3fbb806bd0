/**
 * One QUIC endpoint per process: connections to peers whose ids are proven, and streams of frames on them. Alone imports Netty
 * and Vert.x's QUIC. Knows no meaning of a frame but hello and welcome.
 */
@NullMarked
package shoal.verticles.quic;

import org.jspecify.annotations.NullMarked;
