/* SPDX-License-Identifier: MIT */
/*
 * The devices of board `pc` that a guest cannot find by itself. Addresses repeat those of machine/pc.h.
 * Spec: ACPI 6.5, chapters 6 and 19.
 */
DefinitionBlock ("dsdt.aml", "DSDT", 2, "DOPPEL", "DOPPELPC", 1)
{
    /* SLP_TYP values of PM1a and PM1b: S5 is the only sleep state there is. */
    Name (\_S5, Package () { 5, 5, 0, 0 })

    /* Which interrupt controllers the guest uses; only IOAPIC routing is described. */
    Method (\_PIC, 1) { }

    /* Somebody asks for a shutdown: graceful shutdown request. ACPI 6.5, table 5.156. */
    Scope (\_GPE)
    {
        Method (_E00) { Notify (\_SB, 0x81) }
    }

    Scope (\_SB)
    {
        /* What belongs to the board: no driver may take it. */
        Device (MBRD)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xE0000000, 0x00100000) /* ECAM */
                Memory32Fixed (ReadWrite, 0xFEC00000, 0x00001000) /* IOAPIC */
                Memory32Fixed (ReadWrite, 0xFEE00000, 0x00001000) /* local APICs */
                IO (Decode16, 0x0600, 0x0600, 0x00, 0x10)         /* ACPI registers */
                IO (Decode16, 0x0061, 0x0061, 0x00, 0x01)
                IO (Decode16, 0x00F4, 0x00F4, 0x00, 0x04)         /* debug exit */
                IO (Decode16, 0x04D0, 0x04D0, 0x00, 0x02)
            })
        }

        Device (PIC)
        {
            Name (_HID, EisaId ("PNP0000"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0020, 0x0020, 0x00, 0x02)
                IO (Decode16, 0x00A0, 0x00A0, 0x00, 0x02)
                IRQNoFlags () { 2 }
            })
        }

        Device (TIMR)
        {
            Name (_HID, EisaId ("PNP0100"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0040, 0x0040, 0x00, 0x04)
                IRQNoFlags () { 0 }
            })
        }

        Device (RTC)
        {
            Name (_HID, EisaId ("PNP0B00"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0070, 0x0070, 0x00, 0x02)
                IRQNoFlags () { 8 }
            })
        }

        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03F8, 0x03F8, 0x00, 0x08)
                IRQNoFlags () { 4 }
            })
        }

        Device (COM2)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 2)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x02F8, 0x02F8, 0x00, 0x08)
                IRQNoFlags () { 3 }
            })
        }

        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A08"))
            Name (_CID, EisaId ("PNP0A03"))
            Name (_SEG, 0)
            Name (_BBN, 0)
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
                IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x1000, 0xFFFF, 0, 0xF000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0, 0xC0000000, 0xDFFFFFFF, 0, 0x20000000)
            })

            /* The guest may handle nothing by itself beyond plain PCI: no hot plug, AER or ASPM to grant. */
            Method (_OSC, 4)
            {
                CreateDWordField (Arg3, 0, CDW1)
                If (Arg0 == ToUUID ("33DB4D5B-1FF7-401C-9657-7441C03DD766"))
                {
                    If (Arg2 > 2)
                    {
                        CreateDWordField (Arg3, 8, CDW3)
                        CDW3 = 0
                    }
                    If (Arg1 != 1)
                    {
                        CDW1 |= 0x08
                    }
                }
                Else
                {
                    CDW1 |= 0x04
                }
                Return (Arg3)
            }

            /* Pin p (0..3) of slot s is GSI 16 + (s + p) % 4. */
            Method (_PRT, 0, Serialized)
            {
                Local0 = Package (128) { }
                Local1 = 0
                While (Local1 < 128)
                {
                    Local2 = Package (4) { 0, 0, 0, 0 }
                    Local2[0] = ((Local1 >> 2) << 16) | 0xFFFF
                    Local2[1] = Local1 & 3
                    Local2[3] = 16 + (((Local1 >> 2) + Local1) & 3)
                    Local0[Local1] = Local2
                    Local1++
                }
                Return (Local0)
            }
        }
    }
}
