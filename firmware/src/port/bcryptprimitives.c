/* ProcessPrng, by which Rust's library draws its random numbers on Windows: Wine 8 has no bcryptprimitives.dll. */
#include <windows.h>
#include <ntsecapi.h>

BOOL WINAPI ProcessPrng(BYTE *data, SIZE_T length)
{
    return RtlGenRandom(data, (ULONG)length);
}
