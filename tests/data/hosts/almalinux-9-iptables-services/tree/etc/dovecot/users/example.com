anna:{BLF-CRYPT}masked::::::
bert:{BLF-CRYPT}masked::::::
